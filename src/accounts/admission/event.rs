//! What is told about admissions, in a stream for each organisation: whoever holds connections of devices follows it and closes those
//! whose admission has ended.

use super::{Admissions, family::Theft};
use crate::StateError;
use gatehouse_events::{Event, Record};
use gatehouse_store::{Batch, Stream};
use gatehouse_types::{DeviceId, GroupId, HubId, OrganisationId, UnixTime};
use serde::{Deserialize, Serialize};

/// A fact about an organisation's admissions. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum Fact {
    /// A code was given out.
    CodeMade {
        /// The code's id.
        code: String,
        /// For which device.
        device: DeviceId,
        /// At which hub.
        hub: HubId,
    },
    /// A code was taken back before it was used.
    CodeWithdrawn {
        /// The code's id.
        code: String,
        /// For which device it was.
        device: DeviceId,
    },
    /// A device was let in.
    Admitted {
        /// The admission's id.
        admission: String,
        /// Which device.
        device: DeviceId,
        /// At which hub.
        hub: HubId,
        /// As one of which group.
        group: Option<GroupId>,
        /// By whose word.
        authority: String,
    },
    /// An admission has ended: connections that began with it are to be closed.
    Ended {
        /// The admission's id.
        admission: String,
        /// Which device.
        device: DeviceId,
        /// Why.
        why: Ending,
    },
    /// A code or refresh token was shown where it must not be; if there was an admission, it has ended.
    TokenStolen {
        /// Whose code or token it was.
        device: DeviceId,
        /// The admission that ended.
        admission: Option<String>,
        /// What happened.
        why: Theft,
        /// Who showed it.
        by: DeviceId,
    },
}

/// Why an admission ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Somebody of the organisation ended it.
    Revoked,
    /// The device signed off.
    SignedOff,
    /// The device was let in anew.
    Replaced,
}

impl Event for Fact {
    const TYPE: &'static str = "admission.fact";
    const VERSION: u32 = 1;
}

impl Admissions {
    /// The stream of an organisation's admissions.
    pub fn stream(organisation: OrganisationId) -> Stream {
        format!("admissions/{organisation}").parse().expect("an id makes a stream's name")
    }

    pub(super) fn stating(&self, batch: Batch, organisation: OrganisationId, fact: &Fact, now: UnixTime) -> Result<Batch, StateError> {
        Ok(batch.record(&[&Self::stream(organisation)], fact, now)?)
    }
}
