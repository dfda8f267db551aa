//! How many codes and admissions an organisation has, so that none takes all of the store.
//!
//! The counts are this process's: an organisation's are read from its rows when they are asked for the first time, and kept up from
//! there. A row that counted them would be written by every device of the organisation at once. Of several nodes each counts what was there
//! when it began and what it adds itself.

use super::{
    AdmissionError, Admissions,
    admit::ADMITTED,
    code::{CODES_OF, of_organisation},
};
use crate::{StateError, counters};
use gatehouse_store::{Range, Table};
use gatehouse_types::OrganisationId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many rows are counted at a time.
const PAGE: usize = 1000;

/// Both counts of an organisation, as far as they are known.
#[derive(Debug, Default)]
pub(crate) struct Places {
    counts: Mutex<HashMap<(Kind, OrganisationId), usize>>,
    /// How far the sweep of admissions has come.
    swept: Mutex<Option<Vec<u8>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Code,
    Admission,
}

impl Kind {
    const fn table(self) -> Table {
        match self {
            Self::Code => CODES_OF,
            Self::Admission => ADMITTED,
        }
    }
}

/// A place that was taken, and is given back unless what it is for was written.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    kind: Kind,
    organisation: OrganisationId,
    kept: bool,
}

impl Place {
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.kept {
            self.places.less(self.kind, self.organisation);
        }
    }
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, HashMap<(Kind, OrganisationId), usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn swept(&self) -> Option<Vec<u8>> {
        self.swept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The sweep goes on behind this key, or from the beginning.
    pub(super) fn sweep_on(&self, last: Option<Vec<u8>>) {
        *self.swept.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    fn less(&self, kind: Kind, organisation: OrganisationId) {
        if let Some(count) = self.lock().get_mut(&(kind, organisation)) {
            *count = count.saturating_sub(1);
        }
    }
}

impl Admissions {
    pub(super) async fn take_code_place(&self, organisation: OrganisationId) -> Result<Place, AdmissionError> {
        let most = self.config().codes;
        self.take(Kind::Code, organisation, most).await?.ok_or_else(|| {
            counters::device_refused("codes-full");
            AdmissionError::TooManyCodes { most }
        })
    }

    pub(super) async fn take_admission_place(&self, organisation: OrganisationId) -> Result<Place, AdmissionError> {
        let most = self.config().admissions;
        self.take(Kind::Admission, organisation, most).await?.ok_or_else(|| {
            counters::device_refused("admissions-full");
            AdmissionError::TooManyDevices { most }
        })
    }

    /// What a place was taken for is gone.
    pub(super) fn give_back(&self, kind: Kind, organisation: OrganisationId) {
        self.accounts.places.less(kind, organisation);
    }

    async fn take(&self, kind: Kind, organisation: OrganisationId, most: usize) -> Result<Option<Place>, StateError> {
        let places = Arc::clone(&self.accounts.places);
        let known = places.lock().contains_key(&(kind, organisation));
        let counted = if known { 0 } else { self.count(kind, organisation, most).await? };
        let mut counts = places.lock();
        let count = counts.entry((kind, organisation)).or_insert(counted);
        if *count >= most {
            return Ok(None);
        }
        *count += 1;
        drop(counts);
        Ok(Some(Place { places, kind, organisation, kept: false }))
    }

    /// The rows of an organisation; more than the most need not be counted.
    async fn count(&self, kind: Kind, organisation: OrganisationId, most: usize) -> Result<usize, StateError> {
        let (mut range, mut counted) = (Range::prefix(of_organisation(organisation)), 0);
        loop {
            let rows = self.accounts.events.store().scan(kind.table(), range.clone(), PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(counted) };
            range = range.after(last);
            counted += rows.len();
            if counted >= most {
                return Ok(counted);
            }
        }
    }
}
