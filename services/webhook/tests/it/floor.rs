//! The floor that the benchmark compares with answers as the real routes do, and stores nothing.

use outeract_seal::Secret;
use outeract_webhook::{Credentials, router_without_storage};
use tokio::net::TcpListener;

use crate::http::{APP_SECRET, Http};

#[tokio::test]
async fn the_routes_without_storage_still_verify() {
    let credentials = Credentials {
        app_secrets: vec![Secret::from(APP_SECRET)],
        verify_token: Secret::from("token"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(axum::serve(listener, router_without_storage(&credentials)).into_future());
    let mut http = Http::connect(address).await;
    assert_eq!(http.post(b"{}").await.status, 200);
    assert_eq!(http.post_with(b"{}", "").await.status, 401);
}
