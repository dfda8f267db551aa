//! What everybody may read: health, readiness, metrics, and what our authorities publish.

use crate::{Doc, Granted, Problem, ReadAuthorities, ReadHealth, ReadMetrics, Refusal, Routes, doc};
use axum::{
    Json,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use gatehouse_base::{Fault, Fetch, Kind, NotPublished, Publications};
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// How long a cache may keep a certificate or a revocation list. A revocation that was published is seen after this.
const PUBLICATION_AGE: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// Whether the parts can do their work; the composition root knows them.
pub trait Readiness: Send + Sync + 'static {
    /// Every part that has to work, with what is wrong with it.
    fn checks(&self) -> BTreeMap<&'static str, Result<(), String>>;
}

/// `/health` says that the process answers; `/ready` says whether it should be sent work.
pub fn health(readiness: Arc<dyn Readiness>) -> Routes {
    let ready = move |_: Granted<ReadHealth>| {
        let checks = readiness.checks();
        async move {
            let all = checks.values().all(Result::is_ok);
            let (code, status) = if all { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
            let checks = checks.into_iter().map(|(name, result)| (name, result.err().unwrap_or_else(|| "ok".to_owned())));
            (code, Json(Report { status, checks: checks.collect() })).into_response()
        }
    };
    let told = doc("Ask whether the server should be sent work").about("Each part that has to work is listed with `ok` or what is wrong.");
    let told = told.answers::<Report>(StatusCode::OK).answers::<Report>(StatusCode::SERVICE_UNAVAILABLE);
    Routes::new().get("/health", doc("Ask whether the process answers"), alive).get("/ready", told, ready)
}

/// Whether the server can do its work.
#[derive(Serialize, JsonSchema)]
struct Report {
    status: &'static str,
    checks: BTreeMap<&'static str, String>,
}

/// The process answers.
#[derive(Serialize, JsonSchema)]
struct Alive {
    status: &'static str,
}

async fn alive(_: Granted<ReadHealth>) -> Json<Alive> {
    Json(Alive { status: "alive" })
}

/// `/metrics` in Prometheus's text form.
pub fn metrics(render: Arc<dyn Fn() -> String + Send + Sync>) -> Routes {
    let render = move |_: Granted<ReadMetrics>| {
        let text = render();
        async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response() }
    };
    let told = doc("Read the metrics").about("In the text form of Prometheus.").answers_with(StatusCode::OK, Some("text/plain"));
    Routes::new().get("/metrics", told, render)
}

/// `/ca` lists our authorities; `/ca/<name>.pem` is a whole chain, `/ca/<name>.cer` the authority's own certificate in
/// DER, and `/crl/<name>.crl` its revocation list in DER (RFC 2585 §3 and §4).
pub fn publications(publications: Arc<dyn Publications>) -> Routes {
    let all = Arc::clone(&publications);
    let chains = Arc::clone(&publications);
    let lists = publications;
    let certificate = file("Fetch a certificate or a chain")
        .about("`<name>.cer` is the authority's own certificate in DER (RFC 2585), `<name>.pem` its whole chain.")
        .answers_with(StatusCode::OK, Some("application/pkix-cert"))
        .answers_with(StatusCode::OK, Some("application/pem-certificate-chain"));
    let list =
        file("Fetch a revocation list").about("`<name>.crl` in DER (RFC 2585).").answers_with(StatusCode::OK, Some("application/pkix-crl"));
    Routes::new()
        .get("/ca", doc("List the certificate authorities"), move |_: Granted<ReadAuthorities>| authorities(all.authorities()))
        .get("/ca/{file}", certificate, move |_: Granted<ReadAuthorities>, Path(file): Path<String>| {
            certificates(Arc::clone(&chains), file)
        })
        .get("/crl/{file}", list, move |_: Granted<ReadAuthorities>, Path(file): Path<String>| revocations(Arc::clone(&lists), file))
}

/// A route to something that an authority may have published under this name or not.
fn file(summary: &'static str) -> Doc {
    doc(summary).refuses(const { &[Refusal::new(Kind::NotFound, "not-published")] })
}

/// An authority, and where its documents are.
#[derive(Serialize, JsonSchema)]
struct Authority {
    certificate: String,
    chain: String,
    crl: String,
    name: String,
}

async fn authorities(all: Fetch<Vec<String>>) -> Result<Json<Vec<Authority>>, Problem> {
    let names = all.await.map_err(|fault| Problem::new(&*fault))?;
    let links = names.into_iter().map(|name| Authority {
        certificate: format!("/ca/{name}.cer"),
        chain: format!("/ca/{name}.pem"),
        crl: format!("/crl/{name}.crl"),
        name,
    });
    Ok(Json(links.collect()))
}

async fn certificates(publications: Arc<dyn Publications>, file: String) -> Result<Response, Problem> {
    let (name, form) = file.rsplit_once('.').ok_or(NotPublished)?;
    let failed = |fault: Box<dyn Fault + Send + Sync>| Problem::new(&*fault);
    match form {
        "cer" => {
            let own = publications.certificate(name.to_owned()).await.map_err(failed)?.ok_or(NotPublished)?;
            Ok(published("application/pkix-cert", own))
        }
        "pem" => {
            let chain = publications.chain(name.to_owned()).await.map_err(failed)?.ok_or(NotPublished)?;
            Ok(published("application/pem-certificate-chain", chain.into_bytes()))
        }
        _ => Err(NotPublished.into()),
    }
}

async fn revocations(publications: Arc<dyn Publications>, file: String) -> Result<Response, Problem> {
    let name = file.strip_suffix(".crl").ok_or(NotPublished)?;
    let list = publications.revocations(name.to_owned()).await.map_err(|fault| Problem::new(&*fault))?.ok_or(NotPublished)?;
    Ok(published("application/pkix-crl", list))
}

fn published(media_type: &'static str, bytes: Vec<u8>) -> Response {
    let fields = [(header::CONTENT_TYPE, HeaderValue::from_static(media_type)), (header::CACHE_CONTROL, PUBLICATION_AGE)];
    (fields, bytes).into_response()
}
