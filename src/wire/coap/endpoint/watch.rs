//! Our observations of the peer's resources (RFC 7641 §3).

use super::{Endpoint, Event, Failure, Link, Owner, RequestId, client::Asking, event::Ended, freshness::Freshness};
use crate::coap::{Message, Token};
use std::time::{Duration, Instant};

/// The state of an observation of ours.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The token of the registration, which all notifications have.
    pub(super) token: Option<Token>,
    /// Whether the application got its first answer.
    pub(super) answered: bool,
    /// The newest notification; none before the server agreed.
    newest: Option<Freshness>,
    /// Whether what came last with the token says that notifications follow. The blocks behind it do not say so themselves.
    agreed: bool,
    /// When what was last notified is no longer fresh.
    pub(super) stale_at: Option<Instant>,
}

/// RFC 7641 §3.3.1: how long a notification may be late before the resource is asked for. Fixed where the RFC says 5 to 15
/// seconds at random: whether and when to ask is the application's choice here.
const LATE: Duration = Duration::from_secs(5);

impl Watch {
    /// The server answered the registration; with a number it agrees.
    pub(super) fn agreed(&mut self, now: Instant, answer: &Message) {
        let number = answer.options.observe().filter(|_| answer.code.is_success());
        self.agreed = number.is_some();
        self.newest = number.map(|number| Freshness::new(number, now)).or(self.newest);
    }

    /// Whether the last notification has just become stale.
    pub(super) fn went_stale(&mut self, now: Instant) -> bool {
        self.stale_at.take_if(|at| *at <= now).is_some()
    }
}

impl Endpoint {
    /// Ends a request. The server is told where it could still send notifications; whatever comes of that is not reported.
    pub fn cancel(&mut self, now: Instant, request: RequestId) {
        let Some(asking) = self.client.requests.get_mut(&request).filter(|asking| !asking.leaving) else { return };
        let Some(watch) = &asking.watch else { return self.fail(request, Failure::Cancelled) };
        let event = match watch.answered {
            true => Event::ObservationEnded { request, why: Ended::Cancelled },
            false => Event::Failed { request, why: Failure::Cancelled },
        };
        self.events.push_back(event);
        let before = asking.leave();
        self.release_token(before);
        self.stop_sending(Owner::Request(request));
        self.ask_from_start(now, request);
    }

    /// Ends a request without telling the server. Over UDP it learns of it when it sends the next notification, which is
    /// rejected; over TCP it never does.
    pub fn forget(&mut self, request: RequestId) {
        let Some(asking) = self.remove(request) else { return };
        match asking.watch {
            _ if asking.leaving => {}
            Some(watch) if watch.answered => self.events.push_back(Event::ObservationEnded { request, why: Ended::Cancelled }),
            _ => self.events.push_back(Event::Failed { request, why: Failure::Cancelled }),
        }
    }

    /// Registers an observation again with the same token (RFC 7641 §3.3.1). The answer comes as a notification. While the
    /// server is being asked already, nothing happens.
    pub fn register_again(&mut self, now: Instant, request: RequestId) {
        let Some(asking) = self.client.requests.get(&request) else { return };
        if !asking.awaiting && !asking.leaving && asking.watch.is_some() && !self.is_closed() {
            self.ask_from_start(now, request);
        }
    }

    fn ask_from_start(&mut self, now: Instant, request: RequestId) {
        self.begin_upload(request);
        self.ask(now, request);
        self.flush(now);
    }

    /// Whether notifications with this token belong to this request.
    pub(super) fn observes(&self, id: RequestId, token: Token) -> bool {
        let watch = self.client.requests.get(&id).and_then(|asking| asking.watch.as_ref());
        watch.is_some_and(|watch| watch.newest.is_some() && watch.token == Some(token))
    }

    /// A notification that is no answer to what was just asked.
    pub(super) fn notified(&mut self, now: Instant, id: RequestId, message: Message) {
        // RFC 8323 §7.1: a stream keeps the order itself, and the numbers mean nothing there.
        let numbered = matches!(self.link, Link::Udp(_));
        let Some(asking) = self.client.requests.get_mut(&id) else { return };
        let Some(Watch { newest: Some(newest), agreed, .. }) = &mut asking.watch else { return };
        let number = message.options.observe().filter(|_| message.code.is_success());
        // One without a number, or with an error, is the last (RFC 7641 §3.2): it has no order.
        if number.is_some_and(|number| numbered && !newest.renew(number, now)) {
            return;
        }
        *agreed = number.is_some();
        // The blocks that were being fetched are of what is old now.
        if let Some(before) = asking.abandon_download() {
            self.release_token(before);
            self.stop_sending(Owner::Request(id));
        }
        self.body(now, id, message);
    }

    pub(super) fn deliver_watched(&mut self, now: Instant, id: RequestId, message: Message) {
        let Some(asking) = self.client.requests.get_mut(&id) else { return };
        let Some(watch) = &mut asking.watch else { return };
        let first = !std::mem::replace(&mut watch.answered, true);
        if watch.agreed {
            let max_age = Duration::from_secs(u64::from(message.options.max_age()));
            watch.stale_at = now.checked_add(max_age.saturating_add(LATE));
            self.events.push_back(match first {
                true => Event::Response { request: id, message, observing: true },
                false => Event::Notification { request: id, message },
            });
            return;
        }
        self.remove(id);
        if first {
            self.events.push_back(Event::Response { request: id, message, observing: false });
        } else {
            self.events.push_back(Event::Notification { request: id, message });
            self.events.push_back(Event::ObservationEnded { request: id, why: Ended::ByServer });
        }
    }
}

impl Asking {
    /// Turns to the cancellation, and gives back the token that nothing comes for any more.
    fn leave(&mut self) -> Token {
        self.leaving = true;
        self.download = None;
        self.upload = None;
        if let Some(watch) = &mut self.watch {
            watch.stale_at = None;
        }
        self.token
    }

    /// Gives up the blocks that are being fetched, and gives back the token of the one that was asked for.
    fn abandon_download(&mut self) -> Option<Token> {
        self.download.take()?;
        std::mem::take(&mut self.awaiting).then_some(self.token)
    }
}
