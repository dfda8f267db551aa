//! The paths of invitations.

use super::{Answer, From, Given};
use crate::{
    Accepting, Accounts, Caller, Email, InvitationError, InvitationInfo, InvitationOffer, ManageMembers, NewPassword, OrganisationInfo,
    Role, refusals,
};
use axum::{Extension, Json, extract::Path, response::NoContent};
use gatehouse_http::{Body, Created, Granted, Routes, SignIn, doc};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct InviteBody {
    email: Email,
    role: Role,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LookBody {
    link: Given,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AcceptBody {
    link: Given,
    /// Both for who has no account yet, neither for who is signed in.
    name: Option<String>,
    password: Option<Given>,
}

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    Routes::new()
        .get(
            "/v1/invitations",
            doc("List the invitations that your organisation has out"),
            with!(accounts, |granted: Granted<ManageMembers>| {
                Answer::<Json<Vec<InvitationInfo>>>::Ok(Json(accounts.invitations(&granted).await?))
            }),
        )
        .post(
            "/v1/invitations",
            doc("Invite an address into your organisation")
                .refuses(refusals::INVITATION)
                .refuses(refusals::STEP_UP_NEEDED)
                .refuses(refusals::MAIL),
            with!(accounts, |granted: Granted<ManageMembers>, body: Body<InviteBody>| {
                let invitation = accounts.invite(&granted, &body.0.email, body.0.role).await?;
                Answer::<Created<InvitationInfo>>::Ok(Created(invitation))
            }),
        )
        .delete(
            "/v1/invitations/{id}",
            doc("Withdraw an invitation").refuses(refusals::NAMED_INVITATION),
            with!(accounts, |granted: Granted<ManageMembers>, id: Path<String>| {
                accounts.withdraw_invitation(&granted, &id).await?;
                Answer::Ok(NoContent)
            }),
        )
        .post(
            "/v1/invitations/look",
            doc("Read what an invitation offers").refuses(refusals::OFFER),
            with!(accounts, |_granted: Granted<SignIn>, body: Body<LookBody>| {
                Answer::<Json<InvitationOffer>>::Ok(Json(accounts.offered(&body.0.link.0).await?))
            }),
        )
        .post(
            "/v1/invitations/accept",
            doc("Accept an invitation by its link")
                .about("Takes a session of the account with that address, or a name and a password for a new account.")
                .refuses(refusals::OFFER)
                .refuses(refusals::ACCEPTING)
                .refuses(refusals::NEW_PASSWORD),
            with!(accounts, |_granted: Granted<SignIn>, from: From, caller: Option<Extension<Caller>>, body: Body<AcceptBody>| {
                let AcceptBody { link, name, password } = body.0;
                let password = password.map(|password| NewPassword::new(password.0)).transpose().map_err(InvitationError::from)?;
                let session = caller.and_then(|caller| caller.in_any_session());
                let who = match (&name, &password, session) {
                    (Some(name), Some(password), _) => Accepting::New { name, password },
                    (None, None, Some((person, _))) => Accepting::Person(person),
                    _ => return Err(InvitationError::SignIn.into()),
                };
                let (_, organisation) = accounts.accept_invitation(&link.0, who, &from).await?;
                Answer::<Json<OrganisationInfo>>::Ok(Json(organisation))
            }),
        )
}
