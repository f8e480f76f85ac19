//! The calls about templates, users, media and limits.

use reqwest::Method;

use super::client::{Answer, Client, ClientError, decode};
use super::model::Tier;
use super::sending::{
    AccountChange, BrokenLinks, ChangePortfolio, ChangeTemplate, ChangeUser, ChangeUserId, ChangeWaba, MediumCreated,
    MediumState, NewTemplate, PortfolioState, Preference, ReceiptQuery, TemplateCreated, UserSeen,
};
use crate::ledger::Receipt;

impl Client {
    /// Makes a template.
    pub async fn create_template(&self, new: &NewTemplate) -> Answer<TemplateCreated> {
        decode(&self.call(Method::POST, "templates", new).await?)
    }

    /// Changes a template, and tells of it.
    pub async fn change_template(&self, template_id: &str, change: &ChangeTemplate) -> Answer<()> {
        let path = format!("templates/{template_id}");
        self.call(Method::PATCH, &path, change).await.map(drop)
    }

    /// Gives a template another status, and tells of it.
    pub async fn set_template_status(&self, template_id: &str, status: &str) -> Answer<()> {
        let change = ChangeTemplate {
            status: Some(status.to_owned()),
            ..ChangeTemplate::default()
        };
        self.change_template(template_id, &change).await
    }

    /// Deletes a template, and tells of it.
    pub async fn delete_template(&self, template_id: &str) -> Answer<()> {
        let path = format!("templates/{template_id}");
        self.call(Method::DELETE, &path, &()).await.map(drop)
    }

    /// Changes an account.
    pub async fn change_waba(&self, waba_id: &str, change: &ChangeWaba) -> Answer<()> {
        let path = format!("wabas/{waba_id}");
        self.call(Method::PATCH, &path, change).await.map(drop)
    }

    /// Lets something happen to an account, and tells of it.
    pub async fn change_account(&self, waba_id: &str, change: &AccountChange) -> Answer<()> {
        let path = format!("wabas/{waba_id}/standing");
        self.call(Method::POST, &path, change).await.map(drop)
    }

    /// Changes a portfolio.
    pub async fn change_portfolio(&self, portfolio_id: &str, change: &ChangePortfolio) -> Answer<()> {
        let path = format!("portfolios/{portfolio_id}");
        self.call(Method::PATCH, &path, change).await.map(drop)
    }

    /// Changes a portfolio's messaging limit, and tells of it by its word.
    pub async fn set_tier(&self, portfolio_id: &str, tier: Tier) -> Answer<()> {
        let change = ChangePortfolio {
            tier: Some(tier),
            ..ChangePortfolio::default()
        };
        self.change_portfolio(portfolio_id, &change).await
    }

    /// A portfolio's messaging limit, and how far it is used.
    pub async fn portfolio(&self, portfolio_id: &str) -> Answer<PortfolioState> {
        decode(&self.get(&format!("portfolios/{portfolio_id}")).await?)
    }

    /// Declares something of a user.
    pub async fn change_user(&self, change: &ChangeUser) -> Answer<()> {
        self.call(Method::PATCH, "users", change).await.map(drop)
    }

    /// A user, as this number's portfolio sees them. The user is given by number or id.
    pub async fn user(&self, phone_number_id: &str, user: &str) -> Answer<UserSeen> {
        let user = user.trim_start_matches('+');
        decode(&self.get(&format!("users/{phone_number_id}/{user}")).await?)
    }

    /// Lets a user stop marketing, or take it again.
    pub async fn prefer(&self, preference: &Preference) -> Answer<()> {
        self.call(Method::POST, "preferences", preference).await.map(drop)
    }

    /// Gives a user another id.
    pub async fn change_user_id(&self, change: &ChangeUserId) -> Answer<()> {
        self.call(Method::POST, "user_ids", change).await.map(drop)
    }

    /// Makes a medium of a user's message to this number.
    pub async fn create_medium(&self, phone_number_id: &str, mime_type: &str, body: Vec<u8>) -> Answer<MediumCreated> {
        let query = [("phone_number_id", phone_number_id), ("mime_type", mime_type)];
        let request = self.request(Method::POST, "media").query(&query).body(body);
        decode(&super::client::read(request.send().await?).await?)
    }

    /// A medium; absent when Meta no longer keeps it.
    pub async fn medium(&self, media_id: &str) -> Answer<Option<MediumState>> {
        match self.get(&format!("media/{media_id}")).await {
            Ok(state) => decode(&state).map(Some),
            Err(ClientError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets Meta forget a medium at once.
    pub async fn expire_medium(&self, media_id: &str) -> Answer<()> {
        let path = format!("media/{media_id}/expire");
        self.call(Method::POST, &path, &()).await.map(drop)
    }

    /// Meta cannot fetch from these links, and from all others it can.
    pub async fn break_links(&self, links: &[&str]) -> Answer<()> {
        let links = links.iter().map(|link| (*link).to_owned()).collect();
        self.call(Method::PUT, "links/broken", &BrokenLinks { links })
            .await
            .map(drop)
    }

    /// Receipts for messages of users.
    pub async fn receipts(&self, query: &ReceiptQuery) -> Answer<Vec<Receipt>> {
        let request = self.request(Method::GET, "receipts").query(query);
        decode(&super::client::read(request.send().await?).await?)
    }

    /// The body that a message was sent with; absent unless it is one of the last 10,000.
    pub async fn body(&self, wamid: &str) -> Answer<Option<serde_json::Value>> {
        let request = self.request(Method::GET, "ledger/body").query(&[("wamid", wamid)]);
        match super::client::read(request.send().await?).await {
            Ok(body) => decode(&body).map(Some),
            Err(ClientError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
