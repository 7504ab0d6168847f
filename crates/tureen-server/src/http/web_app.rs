//! The web app, embedded in the binary.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};

/// Output of `npm run build` in `web/dist`. Empty if the web app was not built before this crate.
#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Assets;

/// Page that replaces a web app that was not built.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Tureen</title>\
    <p>The server works, but the web app is not built: run <code>./run</code>.</p></html>\n";

/// Answers a request for a file of the web app. Other paths get its page.
pub(crate) fn serve(method: &Method, path: &str, headers: &HeaderMap) -> Response {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")]).into_response();
    }
    let name = path.trim_start_matches('/');
    if let Some(file) = Assets::get(name) {
        return file_response(name, file, headers);
    }
    // A missing script must not be answered by the page, because the browser would only report its wrong type.
    if is_hashed(name) {
        return (StatusCode::NOT_FOUND, "no such file\n").into_response();
    }
    match Assets::get("index.html") {
        Some(file) => file_response("index.html", file, headers),
        None => ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CACHE_CONTROL, "no-cache")], NOT_BUILT)
            .into_response(),
    }
}

fn file_response(name: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let hash = file.metadata.sha256_hash();
    let etag: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{etag}\"");
    let caching = [
        (CACHE_CONTROL, if is_hashed(name) { "public, max-age=31536000, immutable" } else { "no-cache" }),
        (ETAG, etag.as_str()),
    ];
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let mut response = (caching, Body::from(file.data)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, content_type(&file.metadata));
    response
}

/// Vite writes files whose names contain a hash of their content to `assets`.
fn is_hashed(name: &str) -> bool {
    name.starts_with("assets/")
}

fn content_type(metadata: &rust_embed::Metadata) -> HeaderValue {
    let mime = metadata.mimetype();
    let charset = if mime.starts_with("text/") { "; charset=utf-8" } else { "" };
    HeaderValue::try_from(format!("{mime}{charset}"))
        .unwrap_or(HeaderValue::from_static("application/octet-stream"))
}
