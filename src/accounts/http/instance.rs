//! The paths for those who run this installation: organisations that go on, and letters that are stuck. What is dangerous to everybody
//! is among the [deeds](super::deeds).

use super::Answer;
use crate::{Accounts, MailError, OperateInstance, refusals};
use axum::{Json, extract::Path, response::NoContent};
use gatehouse_http::{Granted, Routes, doc};
use gatehouse_mail::{LetterInfo, Outbox};
use gatehouse_types::OrganisationId;

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    Routes::new()
        .post(
            "/v1/instance/organisations/{id}/resume",
            doc("Let an organisation go on that was suspended").refuses(refusals::SUSPENSION),
            with!(accounts, |_granted: Granted<OperateInstance>, id: Path<OrganisationId>| {
                accounts.resume(*id).await?;
                Answer::Ok(NoContent)
            }),
        )
        .get(
            "/v1/instance/letters",
            doc("List letters that wait or were given up").refuses(refusals::NAMED_LETTER),
            with!(accounts, |_granted: Granted<OperateInstance>| {
                Answer::<Json<Vec<LetterInfo>>>::Ok(Json(outbox(&accounts)?.letters().await?))
            }),
        )
        .post(
            "/v1/instance/letters/{id}/retry",
            doc("Try a letter now").refuses(refusals::NAMED_LETTER),
            with!(accounts, |_granted: Granted<OperateInstance>, id: Path<String>| {
                Answer::<Json<LetterInfo>>::Ok(Json(outbox(&accounts)?.retry(&id).await?))
            }),
        )
        .delete(
            "/v1/instance/letters/{id}",
            doc("Throw a letter away").refuses(refusals::NAMED_LETTER),
            with!(accounts, |_granted: Granted<OperateInstance>, id: Path<String>| {
                outbox(&accounts)?.discard(&id).await?;
                Answer::Ok(NoContent)
            }),
        )
}

fn outbox(accounts: &Accounts) -> Result<&Outbox, MailError> {
    accounts.mail.as_ref().ok_or(MailError::Off)
}
