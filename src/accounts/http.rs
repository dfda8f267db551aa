//! The paths of `/v1` that concern accounts.
//!
//! Each file below has those of one thing. Secrets that are shown once are written into an answer there and nowhere else.

use crate::{Accounts, Visitor};
use axum::Extension;
use gatehouse_base::{Fault, Kind};
use gatehouse_http::{Problem, Routes};
use gatehouse_types::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

type From = Extension<Visitor>;
type Answer<T> = Result<T, Problem>;

/// The routes of accounts, under `/v1`.
pub(crate) fn routes(accounts: &Accounts) -> Routes {
    sign_in::routes(accounts)
        .and(own_account::routes(accounts))
        .and(second_factor::routes(accounts))
        .and(passkeys::routes(accounts))
        .and(step_up::routes(accounts))
        .and(tokens::routes(accounts))
        .and(members::routes(accounts))
        .and(clients::routes(accounts))
        .and(devices::routes(accounts))
        .and(life::routes(accounts))
        .and(invitations::routes(accounts))
        .and(instance::routes(accounts))
        .and(providers::routes(accounts))
        .and(instance_providers::routes(accounts))
        .and(deeds::routes(accounts))
        .and(pages::routes(accounts))
}

/// A handler with the accounts as its first argument, behind the permission that it asks for.
macro_rules! with {
    ($accounts:ident, |$($name:ident: $kind:ty),*| $work:expr) => {{
        let $accounts = $accounts.clone();
        move |$($name: $kind),*| {
            let $accounts = $accounts.clone();
            async move { $work }
        }
    }};
}

mod clients;
mod deeds;
mod devices;
mod instance;
mod instance_providers;
mod invitations;
mod life;
mod members;
mod own_account;
mod pages;
mod passkeys;
mod providers;
mod second_factor;
mod sign_in;
mod step_up;
mod tokens;

/// A secret in a request.
#[derive(Deserialize, JsonSchema)]
#[serde(from = "String")]
#[schemars(extend("format" = "password"))]
struct Given(#[schemars(with = "String")] Secret);

impl std::convert::From<String> for Given {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("this account is gone")]
pub(crate) struct Gone;

impl Fault for Gone {
    fn kind(&self) -> Kind {
        Kind::Unauthenticated
    }

    fn code(&self) -> &'static str {
        "account-gone"
    }
}
