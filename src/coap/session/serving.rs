//! The peer's requests: from the router to the answer, and on to the notifications of what it observes.

use crate::{
    Connection, Leave, Refusal, Request, Response,
    caller::Caller,
    counters::{Held, RouteMeter, method_label},
    observed::{Changes, State},
    routes::{Answer, NotFound},
    server::Shared,
    tag::judge,
};
use gatehouse_wire::coap::{
    Code, Options,
    endpoint::{Delivery, Endpoint, Exchange, Gone, Incoming, ObservationId, RespondError},
};
use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::timeout,
};
use tracing::{Instrument, Span, debug, error, info_span};

/// What goes on for one peer.
pub(super) struct Serving {
    shared: Arc<Shared>,
    caller: Arc<Caller>,
    work: JoinSet<Done>,
    pending: HashMap<Id, (AbortHandle, Pending)>,
    observers: HashMap<ObservationId, Observer>,
    leave: Option<Leave>,
}

/// What has come of a task.
pub(super) enum Done {
    Answered(Result<Response, Refusal>),
    Changed { observation: ObservationId, changes: Box<dyn Changes>, state: Option<State> },
}

/// A request whose answer is awaited.
struct Pending {
    exchange: Exchange,
    method: Code,
    meter: Arc<RouteMeter>,
    options: Options,
    observe: bool,
    began: Instant,
    span: Span,
    /// Whether the work goes on without the peer.
    carried_through: bool,
    /// Whether the answer is named by its content.
    tagged: bool,
}

/// A request's turn among those of all peers, for as long as somebody works on it.
type Turn = (OwnedSemaphorePermit, Held);

/// A peer that is told of changes.
struct Observer {
    waiting: AbortHandle,
    watching: Watching,
}

/// What stays the same as long as a peer is told.
struct Watching {
    /// Whether each state is named by its content.
    tagged: bool,
    _place: OwnedSemaphorePermit,
    _held: Held,
}

impl Serving {
    pub(super) fn new(shared: Arc<Shared>, caller: Arc<Caller>) -> Self {
        Self { shared, caller, work: JoinSet::new(), pending: HashMap::new(), observers: HashMap::new(), leave: None }
    }

    /// Whether no request is worked on.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Gives back the room of what is empty.
    pub(super) fn give_back(&mut self) {
        if self.pending.is_empty() {
            self.pending = HashMap::new();
        }
        if self.observers.is_empty() {
            self.observers = HashMap::new();
        }
    }

    /// How an answer wanted the connection to end behind it.
    pub(super) fn leave(&mut self) -> Option<Leave> {
        self.leave.take()
    }

    /// Nobody waits for answers any more. What has to be carried through goes on, and the rest is given up.
    pub(super) fn give_up(&mut self, endpoint: &mut Endpoint, now: Instant) {
        for (task, pending) in std::mem::take(&mut self.pending).into_values() {
            if !pending.carried_through {
                task.abort();
            }
            endpoint.ignore(now, pending.exchange);
        }
    }

    /// Gives up what need not be carried through, and waits for the rest.
    pub(super) async fn finish(mut self) {
        let lost = self.pending.values().filter(|(_, pending)| !pending.carried_through).map(|(task, _)| task);
        lost.chain(self.observers.values().map(|observer| &observer.waiting)).for_each(AbortHandle::abort);
        while let Some(done) = self.work.join_next().await {
            if let Err(failure) = done
                && failure.is_panic()
            {
                error!(%failure, "a request's task failed");
            }
        }
    }

    /// The next task that has ended. `None` when there is none.
    pub(super) async fn next(&mut self) -> Option<Result<(Id, Done), JoinError>> {
        self.work.join_next_with_id().await
    }

    /// Begins to work on a request.
    pub(super) fn begin(&mut self, endpoint: &mut Endpoint, now: Instant, incoming: Incoming) {
        let Incoming { exchange, message, observe, fresh } = incoming;
        let shared = Arc::clone(&self.shared);
        let method = message.code;
        let found = match shared.router.find(&message) {
            Ok(found) => found,
            Err(NotFound { meter, refusal }) => {
                let Some(refusal) = refusal else {
                    meter.count(method, None);
                    return endpoint.ignore(now, exchange);
                };
                return refuse(endpoint, now, exchange, method, &meter, refusal);
            }
        };
        let Ok(turn) = Arc::clone(&shared.turns).try_acquire_owned() else {
            shared.meters.requests.increment(1);
            let busy = Refusal::plain(Code::SERVICE_UNAVAILABLE, "busy").retry_after(shared.config.retry_after);
            return refuse(endpoint, now, exchange, method, found.meter, busy);
        };
        let (meter, format) = (Arc::clone(found.meter), found.format);
        let span = info_span!("request", method = method_label(method), path = meter.route(), peer = %self.caller.peer.address());
        let options = message.options.clone();
        let connection = Connection::new(Arc::clone(&self.caller));
        let request = Request { message, connection, names: Arc::clone(&found.names), format, observes: observe, fresh, tag: None };
        let (carried_through, tagged) = (found.is_carried_through(), found.is_tagged_by_content());
        let turn = (turn, shared.meters.in_flight());
        let pending = Pending { exchange, method, meter, options, observe, began: now, span, carried_through, tagged };
        match found.ask(request) {
            Ok(answer) => self.work_on(endpoint, now, pending, turn, answer),
            Err(refusal) => self.answered(endpoint, now, pending, Err(refusal)),
        }
    }

    /// Most handlers have their answer at once; only the others are worth a task.
    fn work_on(&mut self, endpoint: &mut Endpoint, now: Instant, pending: Pending, turn: Turn, mut answer: Answer) {
        let first = catch_unwind(AssertUnwindSafe(|| {
            let _in_span = pending.span.enter();
            answer.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        }));
        match first {
            Ok(Poll::Ready(answer)) => self.answered(endpoint, now, pending, answer),
            Ok(Poll::Pending) => {
                let (limit, span) = (self.shared.config.request_timeout, pending.span.clone());
                let late = self.shared.meters.late.clone();
                let whole = async move {
                    let answer = timeout(limit, answer).await.unwrap_or_else(|_| {
                        late.increment(1);
                        Err(Refusal::plain(Code::SERVICE_UNAVAILABLE, "the answer took too long"))
                    });
                    drop(turn);
                    Done::Answered(answer)
                };
                let task = self.work.spawn(whole.instrument(span));
                self.pending.insert(task.id(), (task, pending));
            }
            Err(_) => self.answered(endpoint, now, pending, Err(failed())),
        }
    }

    /// A task has ended.
    pub(super) fn done(&mut self, endpoint: &mut Endpoint, now: Instant, done: Result<(Id, Done), JoinError>) {
        match done {
            Ok((task, Done::Answered(answer))) => {
                if let Some((_, pending)) = self.pending.remove(&task) {
                    self.answered(endpoint, now, pending, answer);
                }
            }
            Ok((_, Done::Changed { observation, changes, state })) => self.changed(endpoint, now, observation, changes, state),
            // A panic ends the answer to this request and nothing else, and must not go unseen.
            Err(failure) if failure.is_panic() => {
                error!(%failure, "a request's task failed");
                if let Some((_, pending)) = self.pending.remove(&failure.id()) {
                    self.answered(endpoint, now, pending, Err(failed()));
                }
            }
            Err(_) => {}
        }
    }

    /// The peer does not want to be told any more.
    pub(super) fn observer_gone(&mut self, observation: ObservationId, why: Gone) {
        if let Some(observer) = self.observers.remove(&observation) {
            observer.waiting.abort();
            self.shared.meters.unobserved(why);
        }
    }

    fn answered(&mut self, endpoint: &mut Endpoint, now: Instant, pending: Pending, answer: Result<Response, Refusal>) {
        let Pending { exchange, method, meter, options, observe, began, span, tagged, .. } = pending;
        let answer = if tagged { judged(answer, &options) } else { answer };
        let mut answer = answer.unwrap_or_else(|refusal| {
            if let Some(cause) = refusal.for_the_log() {
                span.in_scope(|| error!(code = %refusal.code(), cause, "request failed"));
            }
            refusal.into_answer()
        });
        if let Some(how) = answer.leave.take() {
            self.leave = Some(self.leave.map_or(how, |before| before.stronger(how)));
        }
        let changes = answer.changes.take().filter(|_| observe && answer.code().is_success()).and_then(|changes| {
            let place = Arc::clone(&self.shared.observers).try_acquire_owned();
            place.inspect_err(|_| self.shared.meters.observers.increment(1)).ok().map(|place| (changes, place))
        });
        // RFC 7641 §4.1: a registration gets the state itself, unless it says that it has it.
        let answer = answer.validated(&options).into_message();
        let code = answer.code;
        let sent = match changes {
            None => endpoint.respond(now, exchange, answer),
            Some((changes, _place)) => endpoint.respond_observed(now, exchange, answer).map(|agreed| {
                if let Some(observation) = agreed {
                    self.watch(observation, changes, Watching { tagged, _place, _held: self.shared.meters.observed() });
                }
            }),
        };
        let code = match sent {
            Err(error @ (RespondError::TooLarge | RespondError::NoResponse(_))) => {
                span.in_scope(|| error!(%code, %error, "an answer could not be sent"));
                Code::INTERNAL_SERVER_ERROR
            }
            Ok(()) | Err(RespondError::Gone) => code,
        };
        let taken = now.saturating_duration_since(began);
        span.in_scope(|| debug!(%code, ?taken, "answered"));
        meter.count(method, Some(code));
        meter.took(taken);
    }

    /// Waits for the next state in a task of its own.
    ///
    /// Over UDP a peer that has left without a word is found out by a notification that it has to acknowledge (RFC 7641
    /// §4.5), and one is due also where nothing changes. A stream that has lost its peer is found out by itself.
    fn watch(&mut self, observation: ObservationId, mut changes: Box<dyn Changes>, watching: Watching) {
        let longest = (!self.caller.transport.is_stream()).then_some(self.shared.config.confirm_observation);
        let waiting = self.work.spawn(async move {
            let state = changes.next(longest).await;
            Done::Changed { observation, changes, state }
        });
        self.observers.insert(observation, Observer { waiting, watching });
    }

    fn changed(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        observation: ObservationId,
        changes: Box<dyn Changes>,
        state: Option<State>,
    ) {
        let Some(observer) = self.observers.remove(&observation) else { return };
        // RFC 7641 §4.2: an error is the last notification.
        let nothing = || Err(Refusal::plain(Code::NOT_FOUND, "there is nothing to observe any more"));
        let State { shown, again } = state.unwrap_or_else(|| State { shown: nothing(), again: false });
        let shown = shown.unwrap_or_else(Refusal::into_answer);
        let shown = if observer.watching.tagged { shown.tagged().0 } else { shown };
        let go_on = shown.code().is_success();
        endpoint.notify(now, observation, shown.into_message(), if again { Delivery::Confirmable } else { Delivery::Automatic });
        if go_on {
            self.watch(observation, changes, observer.watching);
        } else {
            self.shared.meters.nothing_to_observe.increment(1);
        }
    }
}

fn refuse(endpoint: &mut Endpoint, now: Instant, exchange: Exchange, method: Code, meter: &RouteMeter, refusal: Refusal) {
    meter.count(method, Some(refusal.code()));
    // A peer that has gone meanwhile needs no refusal.
    let _ = endpoint.respond(now, exchange, refusal.into_answer().into_message());
}

/// An answer to a request that only looks, named by its content and held against the request's conditions.
fn judged(answer: Result<Response, Refusal>, request: &Options) -> Result<Response, Refusal> {
    match answer {
        Ok(answer) => {
            let (answer, tag) = answer.tagged();
            // Of what is no representation nothing is known.
            if tag.is_some() {
                judge(request, tag.as_ref())?;
            }
            Ok(answer)
        }
        Err(refusal) if refusal.code() == Code::NOT_FOUND => judge(request, None).and(Err(refusal)),
        Err(refusal) => Err(refusal),
    }
}

fn failed() -> Refusal {
    Refusal::plain(Code::INTERNAL_SERVER_ERROR, "internal")
}
