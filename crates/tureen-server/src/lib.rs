//! Video rooms: signalling, HTTP API and the web app.
