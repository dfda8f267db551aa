//! What every peer may read: which resources there are, the time, health, and what our authorities publish.

use crate::{Anyone, Granted, Refusal, Request, Response, Route, Routes};
use gatehouse_base::{Clock, Fetch, NotPublished, Publications};
use gatehouse_wire::coap::{
    ContentFormat,
    link_format::{self, Filter},
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// What devices and tools read values in; without a word of theirs it is what devices are used to.
const VALUES: &[ContentFormat] = &[ContentFormat::OCF_CBOR, ContentFormat::CBOR, ContentFormat::JSON];

/// RFC 9148 §4.3.
const PKIX_CERT: ContentFormat = ContentFormat(287);

/// How long a certificate or a revocation list is fresh. A revocation that was published is seen after this.
const PUBLICATION_AGE: Duration = Duration::from_secs(60);

/// These routes, and `/.well-known/core`, which lists those of them that are to be listed (RFC 6690).
pub fn discovery(routes: Routes) -> Routes {
    let links = Arc::new(routes.links());
    let core = move |_: Granted<Anyone>, request: Request| {
        let filters: Vec<_> = request.arguments().map(Filter::from_query).collect();
        let wanted = links.iter().filter(|link| filters.iter().all(|filter| filter.matches(link)));
        let answer = Response::body(ContentFormat::LINK_FORMAT, link_format::write(wanted));
        async move { answer }
    };
    routes.with(Route::get("/.well-known/core", core).offers(&[ContentFormat::LINK_FORMAT]).tagged())
}

/// `/x.plgd.dev/time` tells the time of day, with which devices that have no clock of their own begin.
pub fn time(clock: Arc<dyn Clock>) -> Routes {
    #[derive(Serialize)]
    struct Time {
        time: String,
    }
    let tell = move |_: Granted<Anyone>, request: Request| {
        // Nine digits of a second, and no word of Max-Age: what unmodified devices are known to take.
        let now = clock.now().to_string();
        let (seconds, fraction) = now.trim_end_matches('Z').split_once('.').unwrap_or((now.trim_end_matches('Z'), ""));
        let answer = request.content(&Time { time: format!("{seconds}.{fraction:0<9}Z") });
        async move { answer }
    };
    Routes::new().with(Route::get("/x.plgd.dev/time", tell).offers(VALUES).listed(&[("rt", "x.plgd.dev.time")]))
}

/// Whether the server should be sent work, as the composition root sees it at present.
pub type Health = watch::Receiver<bool>;

/// `/health` tells whether the server does its work, and can be observed. What is in the way is not for everybody.
pub fn health(health: Health) -> Routes {
    #[derive(Serialize)]
    struct Report {
        status: &'static str,
    }
    let tell = move |_: Granted<Anyone>, request: Request| {
        let format = request.format().unwrap_or(ContentFormat::JSON);
        let show = move |ready: &bool| Response::content(format, &Report { status: if *ready { "ready" } else { "not ready" } });
        let answer = Response::observed(health.clone(), show);
        async move { answer }
    };
    Routes::new().with(Route::get("/health", tell).offers(VALUES).listed(&[("rt", "gatehouse.health")]).observable())
}

/// `/ca` lists our authorities; `/ca/<name>.cer` is the authority's own certificate and `/crl/<name>.crl` its revocation
/// list, both in DER and under the same paths as over HTTP.
pub fn publications(publications: Arc<dyn Publications>) -> Routes {
    let (all, certificates, lists) = (Arc::clone(&publications), Arc::clone(&publications), publications);
    Routes::new()
        .with(
            Route::get("/ca", move |_: Granted<Anyone>, request: Request| authorities(all.authorities(), request))
                .offers(VALUES)
                .tagged()
                .listed(&[("rt", "gatehouse.authorities")]),
        )
        .with(
            Route::get("/ca/{file}", move |_: Granted<Anyone>, request: Request| {
                let found = file(&request, ".cer").map(|name| certificates.certificate(name));
                published(PKIX_CERT, found)
            })
            .tagged(),
        )
        .with(
            Route::get("/crl/{file}", move |_: Granted<Anyone>, request: Request| {
                let found = file(&request, ".crl").map(|name| lists.revocations(name));
                published(ContentFormat::OCTET_STREAM, found)
            })
            .tagged(),
        )
}

async fn authorities(all: Fetch<Vec<String>>, request: Request) -> Result<Response, Refusal> {
    #[derive(Serialize)]
    struct Authority {
        certificate: String,
        crl: String,
        name: String,
    }
    let names = all.await.map_err(|fault| Refusal::new(&*fault))?;
    let links = names.into_iter().map(|name| Authority { certificate: format!("/ca/{name}.cer"), crl: format!("/crl/{name}.crl"), name });
    Ok(request.content(&links.collect::<Vec<_>>())?.max_age(PUBLICATION_AGE))
}

fn file(request: &Request, suffix: &str) -> Option<String> {
    Some(request.parameter("file")?.strip_suffix(suffix)?.to_owned())
}

async fn published(format: ContentFormat, found: Option<Fetch<Option<Vec<u8>>>>) -> Result<Response, Refusal> {
    let bytes = found.ok_or(NotPublished)?.await.map_err(|fault| Refusal::new(&*fault))?.ok_or(NotPublished)?;
    Ok(Response::body(format, bytes).max_age(PUBLICATION_AGE))
}
