//! The paths of an organisation's devices: codes that let them in, what they have, and alarms.

use super::Answer;
use crate::{Accounts, AdmissionInfo, AlarmInfo, CodeInfo, ManageDevices, NewCode, ReadDevices, refusals, secret};
use axum::{
    Json,
    extract::{Path, Query},
    response::NoContent,
};
use gatehouse_http::{Body, Created, Granted, Routes, doc};
use gatehouse_types::{DeviceId, GroupId, HubId, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much is told when nobody says how much.
const PAGE: usize = 100;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CodeBody {
    /// Which device may come in: its OCF `di`, as its certificate names it.
    device: DeviceId,
    /// At which hub: the id in the certificate of its gateway.
    hub: HubId,
    /// As one of which group.
    group: Option<GroupId>,
}

/// A part of a list, in the order of ids.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Part {
    /// The id behind which the part begins.
    after: Option<String>,
    /// How many at most; 500 are the most.
    limit: Option<usize>,
    /// Only this device's.
    device: Option<DeviceId>,
}

/// A part of the alarms, the newest first.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AlarmPart {
    /// Only earlier ones.
    before: Option<UnixTime>,
    /// How many at most; 500 are the most.
    limit: Option<usize>,
}

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    codes(accounts).and(admissions(accounts))
}

fn codes(accounts: &Accounts) -> Routes {
    #[derive(Serialize, JsonSchema)]
    struct NewlyMadeCode {
        #[serde(flatten)]
        info: CodeInfo,
        code: String,
    }
    Routes::new()
        .get(
            "/v1/onboarding-codes",
            doc("List the onboarding codes that wait for their devices"),
            with!(accounts, |granted: Granted<ReadDevices>, part: Query<Part>| {
                let Part { after, limit, .. } = &part.0;
                let limit = limit.unwrap_or(PAGE);
                let codes = accounts.admissions().codes(&granted, after.as_deref(), limit, accounts.clock.now()).await?;
                Answer::<Json<Vec<CodeInfo>>>::Ok(Json(codes))
            }),
        )
        .post(
            "/v1/onboarding-codes",
            doc("Make an onboarding code, with which a device signs up at a hub")
                .about("The answer is the only place that ever shows the code. It has nothing to do with the device codes of RFC 8628.")
                .refuses(refusals::ONBOARDING),
            with!(accounts, |granted: Granted<ManageDevices>, body: Body<CodeBody>| {
                let CodeBody { device, hub, group } = body.0;
                let new = NewCode { device, hub, group };
                let (info, code) = accounts.admissions().issue(granted.organisation, new, accounts.clock.now()).await?;
                Answer::Ok(Created(NewlyMadeCode { info, code: secret::text(&code) }))
            }),
        )
        .delete(
            "/v1/onboarding-codes/{id}",
            doc("Withdraw an onboarding code that nobody has used").refuses(refusals::NAMED_ONBOARDING),
            with!(accounts, |granted: Granted<ManageDevices>, id: Path<String>| {
                accounts.admissions().withdraw(&granted, &id, accounts.clock.now()).await?;
                Answer::Ok(NoContent)
            }),
        )
}

fn admissions(accounts: &Accounts) -> Routes {
    Routes::new()
        .get(
            "/v1/admissions",
            doc("List the devices that were let in"),
            with!(accounts, |granted: Granted<ReadDevices>, part: Query<Part>| {
                let (admissions, now) = (accounts.admissions(), accounts.clock.now());
                let told = match part.0 {
                    Part { device: Some(device), .. } => admissions.admission_of(&granted, device, now).await?.into_iter().collect(),
                    Part { after, limit, .. } => admissions.admissions(&granted, after.as_deref(), limit.unwrap_or(PAGE), now).await?,
                };
                Answer::<Json<Vec<AdmissionInfo>>>::Ok(Json(told))
            }),
        )
        .delete(
            "/v1/admissions/{id}",
            doc("End an admission: the device has to be let in anew").refuses(refusals::NAMED_ADMISSION),
            with!(accounts, |granted: Granted<ManageDevices>, id: Path<String>| {
                accounts.admissions().revoke(&granted, &id, accounts.clock.now()).await?;
                Answer::Ok(NoContent)
            }),
        )
        .get(
            "/v1/admission-alarms",
            doc("List codes and tokens of devices that somebody else has shown"),
            with!(accounts, |granted: Granted<ReadDevices>, part: Query<AlarmPart>| {
                let AlarmPart { before, limit } = part.0;
                let alarms = accounts.admissions().alarms(&granted, before, limit.unwrap_or(PAGE)).await?;
                Answer::<Json<Vec<AlarmInfo>>>::Ok(Json(alarms))
            }),
        )
}
