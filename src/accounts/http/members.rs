//! The paths of organisations and their members.

use super::Answer;
use crate::{Accounts, ActInSession, ManageMembers, MemberInfo, ReadMembers, Role, refusals};
use axum::{Json, extract::Path, response::NoContent};
use gatehouse_http::{Body, Created, Granted, Routes, doc};
use gatehouse_types::PersonId;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NameBody {
    name: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RoleBody {
    role: Role,
}

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    Routes::new()
        .post(
            "/v1/organisations",
            doc("Make an organisation, which is then yours").refuses(refusals::ORGANISATION),
            with!(accounts, |granted: Granted<ActInSession>, body: Body<NameBody>| {
                let organisation = accounts.add_organisation(granted.person, &body.0.name).await?;
                Answer::Ok(Created(organisation))
            }),
        )
        .get(
            "/v1/members",
            doc("List the members of an organisation"),
            with!(accounts, |granted: Granted<ReadMembers>| {
                Answer::<Json<Vec<MemberInfo>>>::Ok(Json(accounts.members(&granted).await?))
            }),
        )
        .patch(
            "/v1/members/{person}",
            doc("Give a member another role")
                .about("What is about an owner takes somebody who has proven lately who they are.")
                .refuses(refusals::NAMED_MEMBER)
                .refuses(refusals::STEP_UP_NEEDED),
            with!(accounts, |granted: Granted<ManageMembers>, person: Path<PersonId>, body: Body<RoleBody>| {
                accounts.give_role(&granted, *person, body.0.role).await?;
                Answer::Ok(NoContent)
            }),
        )
        .delete(
            "/v1/members/{person}",
            doc("Remove a member").refuses(refusals::NAMED_MEMBER).refuses(refusals::STEP_UP_NEEDED),
            with!(accounts, |granted: Granted<ManageMembers>, person: Path<PersonId>| {
                accounts.remove_member(&granted, *person).await?;
                Answer::Ok(NoContent)
            }),
        )
}
