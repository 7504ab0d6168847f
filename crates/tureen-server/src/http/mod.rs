//! The web server: TCP and TLS, the routes, the web app, and which clients it serves.

pub(crate) mod client;
pub(crate) mod descriptors;
pub(crate) mod listener;
pub(crate) mod origin;
pub(crate) mod ownership;
mod patience;
pub(crate) mod site;
pub(crate) mod tls;
mod web_app;
