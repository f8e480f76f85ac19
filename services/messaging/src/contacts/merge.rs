//! Two contacts that turned out to be one: the older survives, and what belonged to the other follows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use outeract_domain::ApplicationId;
use uuid::Uuid;

use super::meet::Registry;
use crate::store::contact::{self as contacts, Profile};
use crate::store::merge::{self as store, Merged, Same, Window};
use crate::store::{DbError, run};

// === impl Registry ===

impl Registry {
    /// Makes one of each group.
    pub(super) async fn merge(&self, groups: &[Same]) -> Result<Vec<Merged>, DbError> {
        let fresh = || self.contacts.fresh();
        let merged = run!(self.db, "merge.merge", |conn| store::merge(conn, groups, fresh))?;
        if merged.is_empty() {
            return Ok(merged);
        }
        self.bell.ring();
        metrics::counter!("messaging_contacts_merged_total").increment(merged.len() as u64);
        for one in &merged {
            self.contacts.merged(one.source, one.target);
        }
        let carried: Vec<_> = merged.iter().map(|one| (one.source, one.target)).collect();
        self.carry(&carried).await?;
        Ok(merged)
    }

    /// Gives what belonged to the merged contacts to their survivors. Whoever did not know of the merge may write to the merged one a little longer: doing it again finds that.
    /// Each is a contact and its survivor.
    pub(super) async fn carry(&self, merged: &[(Uuid, Uuid)]) -> Result<(), DbError> {
        let sources: Vec<Uuid> = merged.iter().map(|(source, _)| *source).collect();
        run!(self.db, "merge.carry", |conn| store::carry(conn, &sources))?;
        let mut windows = run!(self.db, "merge.windows", |conn| store::windows(conn, &sources))?;
        windows.retain_mut(|window| self.reseal(window));
        if !windows.is_empty() {
            run!(self.db, "merge.carry_windows", |conn| store::carry_windows(
                conn, &windows
            ))?;
        }
        self.carry_profiles(merged).await
    }

    /// Whoever has just written to these contacts may not have known that they were merged.
    pub(crate) async fn carry_what_was_merged(&self, contacts: &[Uuid]) -> Result<(), DbError> {
        let survivors = run!(self.db, "contact.survivors", |conn| contacts::survivors(conn, contacts))?;
        let merged: Vec<_> = contacts
            .iter()
            .zip(survivors)
            .filter(|(contact, survivor)| *contact != survivor)
            .map(|(contact, survivor)| (*contact, survivor))
            .collect();
        if merged.is_empty() {
            return Ok(());
        }
        self.carry(&merged).await
    }

    /// What is sealed under one contact's id is sealed under the other's.
    fn reseal(&self, window: &mut Window) -> bool {
        // A call opened it, and no message.
        if window.wamid_sealed.is_empty() {
            return true;
        }
        let application = ApplicationId::from_uuid(window.application);
        let opened = self
            .vault
            .open_inbound_wamid(application, window.source, &window.wamid_sealed);
        match opened {
            Ok(wamid) => {
                window.wamid_sealed = self.vault.seal_inbound_wamid(application, window.target, &wamid);
                true
            }
            Err(cause) => {
                tracing::error!(%cause, "The window of a merged contact cannot be read");
                false
            }
        }
    }

    /// The survivor's name stays; who has none gets the other's.
    async fn carry_profiles(&self, merged: &[(Uuid, Uuid)]) -> Result<(), DbError> {
        let asked: BTreeSet<Uuid> = merged.iter().flat_map(|(source, target)| [*source, *target]).collect();
        let asked: Vec<Uuid> = asked.into_iter().collect();
        let known = run!(self.db, "contact.profiles", |conn| contacts::profiles(conn, &asked))?;
        let known: HashMap<Uuid, Profile> = known.into_iter().map(|profile| (profile.contact, profile)).collect();
        let mut given: BTreeMap<Uuid, Vec<u8>> = BTreeMap::new();
        for (source, target) in merged {
            let (Some(source), Some(target)) = (known.get(source), known.get(target)) else {
                continue;
            };
            if let (Some(sealed), None) = (&source.sealed, &target.sealed)
                && let Ok(name) = self.vault.open_profile(source.application, source.contact, sealed)
            {
                let resealed = self.vault.seal_profile(target.application, target.contact, &name);
                given.insert(target.contact, resealed);
            }
        }
        if given.is_empty() {
            return Ok(());
        }
        let given: Vec<_> = given.into_iter().collect();
        run!(self.db, "contact.keep_profiles", |conn| contacts::keep_profiles(
            conn, &given
        ))
    }
}
