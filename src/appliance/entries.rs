//! Who is told that somebody came in: where the law owes an entry event and the profile names a
//! receiver, the event is in the queue before the door is told.
//!
//! Invariant: nothing here holds up a door or shuts it, but that one which would open after its
//! deadline stays shut, and its event is taken back. An event that the queue does not take is
//! counted and told by `/readyz`; the audit has the entry in any case.

use super::{Appliance, execute::Errand};
use crate::{
    pipeline::Reply,
    register::Ticket,
    types::{EventImages, Hash256, Obligation, Outcome, TransactionId},
    webhook::{Event, Sender},
};

impl Appliance {
    pub(super) fn sender(&self) -> Option<&Sender> {
        self.site.as_ref().and_then(|site| site.sender.as_ref())
    }

    /// Queues the event of a comparison that lets somebody in. Writing it takes time: where the
    /// deadline passed meanwhile, the event is taken back, and the answer is Refer.
    pub(super) fn after_comparison(&self, errand: &Errand, picture: &[u8], reply: &mut Reply) {
        if reply.verdict.outcome != Outcome::Admit {
            return;
        }
        let queued = self.queue_entry(errand, reply.transaction, Some(picture));
        if self.refer_if_late(errand, reply) {
            self.withdraw_entry(queued);
        }
        self.send_entries();
    }

    /// Queues the event of whoever `errand` lets in, under the decision's name in the audit.
    /// `picture` is what was compared, where it was handed over with the request; its hash goes
    /// along where the profile states on which basis.
    pub(super) fn queue_entry(
        &self,
        errand: &Errand,
        transaction: TransactionId,
        picture: Option<&[u8]>,
    ) -> Option<Ticket> {
        let (site, sender) = (self.site.as_ref()?, self.sender()?);
        if !errand.owed.contains(&Obligation::SendEntryEvent) {
            return None;
        }
        let now_s = self.world.clock.civil_s();
        let is_based = site.facts(now_s).event_images == EventImages::WithBasis;
        let picture = picture.filter(|_| is_based).map(Hash256::of);
        let asked = &errand.asked;
        let gate = asked.caller.client.as_str();
        let place = asked.at_lane.as_ref().map_or(gate, |at| at.lane.as_str());
        let event = Event::admission(transaction, (now_s, place), picture);
        sender.queue(transaction, &event)
    }

    /// Takes back the event of a door that was not opened after all.
    pub(super) fn withdraw_entry(&self, queued: Option<Ticket>) {
        if let Some((sender, ticket)) = self.sender().zip(queued) {
            sender.withdraw(ticket);
        }
    }

    /// Says that there may be something to send.
    pub(super) fn send_entries(&self) {
        if let Some(sender) = self.sender() {
            sender.wake();
        }
    }
}
