//! The RPCs: one file each, one line here.

mod authenticate_key;
mod create_application;
mod create_connection;
mod create_key;
mod create_operator_key;
mod get_application;
mod get_connection;
mod get_token_for_send;
mod list_applications;
mod list_audit_entries;
mod list_connection_states;
mod list_connections;
mod list_keys;
mod report_accounts;
mod revoke_key;
mod update_application_settings;

use outeract_proto::connection::admin::v1 as admin;
use outeract_proto::connection::admin::v1::admin_service_server::AdminService;
use outeract_proto::connection::internal::v1 as internal;
use outeract_proto::connection::internal::v1::connection_internal_service_server::ConnectionInternalService;
use outeract_proto::connection::v1 as public;
use outeract_proto::connection::v1::application_service_server::ApplicationService;
use outeract_proto::connection::v1::connection_service_server::ConnectionService;
use outeract_rpc::Reply;
use tonic::Request;

use crate::desk::Desk;

#[tonic::async_trait]
impl ApplicationService for Desk {
    async fn get_application(
        &self,
        request: Request<public::GetApplicationRequest>,
    ) -> Reply<public::GetApplicationResponse> {
        get_application::get_application(self, request).await
    }

    async fn update_application_settings(
        &self,
        request: Request<public::UpdateApplicationSettingsRequest>,
    ) -> Reply<public::UpdateApplicationSettingsResponse> {
        update_application_settings::update_application_settings(self, request).await
    }
}

#[tonic::async_trait]
impl ConnectionService for Desk {
    async fn create_connection(
        &self,
        request: Request<public::CreateConnectionRequest>,
    ) -> Reply<public::CreateConnectionResponse> {
        create_connection::create_connection(self, request).await
    }

    async fn get_connection(
        &self,
        request: Request<public::GetConnectionRequest>,
    ) -> Reply<public::GetConnectionResponse> {
        get_connection::get_connection(self, request).await
    }

    async fn list_connections(
        &self,
        request: Request<public::ListConnectionsRequest>,
    ) -> Reply<public::ListConnectionsResponse> {
        list_connections::list_connections(self, request).await
    }
}

#[tonic::async_trait]
impl ConnectionInternalService for Desk {
    async fn authenticate_key(
        &self,
        request: Request<internal::AuthenticateKeyRequest>,
    ) -> Reply<internal::AuthenticateKeyResponse> {
        authenticate_key::authenticate_key(self, request).await
    }

    async fn get_token_for_send(
        &self,
        request: Request<internal::GetTokenForSendRequest>,
    ) -> Reply<internal::GetTokenForSendResponse> {
        get_token_for_send::get_token_for_send(self, request).await
    }

    async fn list_connection_states(
        &self,
        request: Request<internal::ListConnectionStatesRequest>,
    ) -> Reply<internal::ListConnectionStatesResponse> {
        list_connection_states::list_connection_states(self, request).await
    }

    async fn report_accounts(
        &self,
        request: Request<internal::ReportAccountsRequest>,
    ) -> Reply<internal::ReportAccountsResponse> {
        report_accounts::report_accounts(self, request).await
    }
}

#[tonic::async_trait]
impl AdminService for Desk {
    async fn create_application(
        &self,
        request: Request<admin::CreateApplicationRequest>,
    ) -> Reply<admin::CreateApplicationResponse> {
        create_application::create_application(self, request).await
    }

    async fn list_applications(
        &self,
        request: Request<admin::ListApplicationsRequest>,
    ) -> Reply<admin::ListApplicationsResponse> {
        list_applications::list_applications(self, request).await
    }

    async fn create_key(&self, request: Request<admin::CreateKeyRequest>) -> Reply<admin::CreateKeyResponse> {
        create_key::create_key(self, request).await
    }

    async fn list_keys(&self, request: Request<admin::ListKeysRequest>) -> Reply<admin::ListKeysResponse> {
        list_keys::list_keys(self, request).await
    }

    async fn revoke_key(&self, request: Request<admin::RevokeKeyRequest>) -> Reply<admin::RevokeKeyResponse> {
        revoke_key::revoke_key(self, request).await
    }

    async fn create_operator_key(
        &self,
        request: Request<admin::CreateOperatorKeyRequest>,
    ) -> Reply<admin::CreateOperatorKeyResponse> {
        create_operator_key::create_operator_key(self, request).await
    }

    async fn list_audit_entries(
        &self,
        request: Request<admin::ListAuditEntriesRequest>,
    ) -> Reply<admin::ListAuditEntriesResponse> {
        list_audit_entries::list_audit_entries(self, request).await
    }
}
