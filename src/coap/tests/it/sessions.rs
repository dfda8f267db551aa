//! What is remembered of a connection, with a service to which devices sign in.

use crate::{
    client::{Client, now},
    world::{World, within},
};
use gatehouse_base::{Clock, Denied, SimulatedClock};
use gatehouse_coap::{
    Anyone, Config, Connection, Ending, Framing, Granted, Leave, Over, Permission, Refusal, Registry, Request, Response, Route, Routes,
    Seat,
};
use gatehouse_types::UnixTime;
use gatehouse_wire::coap::{Code, ContentFormat, Message, Options, endpoint, endpoint::Closed};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{Semaphore, mpsc};

/// What a connection was signed in as.
struct SignedIn {
    organisation: String,
    until: UnixTime,
    clock: Arc<SimulatedClock>,
    seat: Seat<String>,
}

/// A device whose time is not over.
enum Device {}

impl Permission for Device {
    const NAME: &'static str = "device";
    type Found = Arc<SignedIn>;

    fn check(request: &Request) -> Result<Self::Found, Refusal> {
        let signed_in = request.connection().get::<SignedIn>().filter(|session| session.clock.now() < session.until);
        signed_in.ok_or_else(|| Refusal::from(Denied::Unauthenticated).then_leave(Leave::Close))
    }
}

/// The service, and what it was told of ends.
struct Desk {
    world: World,
    clock: Arc<SimulatedClock>,
    registry: Arc<Registry<String>>,
    over: mpsc::UnboundedReceiver<(String, Ending)>,
    /// Work that waits until the test lets it go on.
    gate: Arc<Semaphore>,
    done: Arc<Mutex<Vec<Result<(), Over>>>>,
}

const START: UnixTime = UnixTime::from_millis(1_767_323_045_000);

impl Desk {
    fn open() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let (clock, registry) = (Arc::new(SimulatedClock::new(START)), Registry::new());
        let (gate, done) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (tell, over) = mpsc::unbounded_channel();
        let sign_in = {
            let (clock, registry) = (Arc::clone(&clock), Arc::clone(&registry));
            move |_: Granted<Anyone>, request: Request| {
                let answer = sign_in(&request, &clock, &registry);
                async move { answer }
            }
        };
        let slow = {
            let (gate, done) = (Arc::clone(&gate), Arc::clone(&done));
            move |_: Granted<Anyone>, request: Request| {
                let (gate, done) = (Arc::clone(&gate), Arc::clone(&done));
                async move {
                    gate.acquire().await.unwrap().forget();
                    done.lock().unwrap().push(request.connection().set("worked").map(|_| ()));
                    Response::new(Code::CHANGED)
                }
            }
        };
        let told = tell.clone();
        let routes = Routes::new()
            .with(Route::post("/session", sign_in))
            .with(Route::new(Code::DELETE, "/session", sign_out))
            .with(Route::get("/mine", mine))
            .with(Route::post("/slow", slow.clone()))
            .with(Route::post("/careful", slow).carried_through())
            .when_over(move |session: Arc<SignedIn>, _: Connection, why| {
                let told = told.clone();
                async move { told.send((session.seat.name().clone(), why)).unwrap() }
            })
            .when_over(move |word: Arc<&'static str>, _, why| {
                let told = tell.clone();
                async move { told.send((word.to_string(), why)).unwrap() }
            });
        Self { world: World::with(routes, Framing::Standard, config), clock, registry, over, gate, done }
    }

    async fn signed_in(&self, device: &str) -> Client {
        let mut client = self.world.client().await;
        assert_eq!(within(client.ask(post("/session", &format!("{device} ours 60")))).await.code, Code::CHANGED);
        client
    }

    async fn told(&mut self) -> (String, Ending) {
        within(self.over.recv()).await.unwrap()
    }
}

/// `DEVICE ORGANISATION SECONDS` in the body.
fn sign_in(request: &Request, clock: &Arc<SimulatedClock>, registry: &Arc<Registry<String>>) -> Result<Response, Refusal> {
    let body = String::from_utf8_lossy(request.body()).into_owned();
    let words: Vec<_> = body.split(' ').collect();
    let [device, organisation, seconds] = words[..] else {
        return Err(Refusal::from(Denied::Forbidden).then_leave(Leave::Abort("no device signs in so")));
    };
    let connection = request.connection();
    let (seat, before) = registry.seat(device.to_owned(), connection);
    if let Some(before) = before.filter(|before| before != connection) {
        before.leave(Leave::Abort("the device has connected again"));
    }
    let until = clock.now() + Duration::from_secs(seconds.parse().unwrap());
    connection.set(SignedIn { organisation: organisation.to_owned(), until, clock: Arc::clone(clock), seat })?;
    Ok(Response::new(Code::CHANGED))
}

async fn sign_out(_: Granted<Device>, request: Request) -> Response {
    request.connection().forget::<SignedIn>();
    Response::new(Code::DELETED)
}

async fn mine(device: Granted<Device>, _: Request) -> Response {
    Response::body(ContentFormat::TEXT, format!("{} of {}", device.seat.name(), device.organisation))
}

fn post(path: &str, body: &str) -> endpoint::Request {
    endpoint::Request::new(Code::POST).options(Options::builder().path(path).unwrap().build()).payload(body.to_owned())
}

fn delete(path: &str) -> endpoint::Request {
    endpoint::Request::new(Code::DELETE).options(Options::builder().path(path).unwrap().build())
}

fn text(answer: &Message) -> (Code, String) {
    (answer.code, String::from_utf8_lossy(&answer.payload).into_owned())
}

#[tokio::test]
async fn who_has_signed_in_may_until_its_time_is_over_and_then_gets_its_answer_before_the_end() {
    let mut desk = Desk::open();
    let mut client = desk.signed_in("lamp").await;
    assert_eq!(text(&within(client.get("/mine")).await), (Code::CONTENT, "lamp of ours".to_owned()));
    desk.clock.set(START + Duration::from_secs(59));
    assert_eq!(within(client.get("/mine")).await.code, Code::CONTENT);
    desk.clock.set(START + Duration::from_secs(60));
    assert_eq!(within(client.get("/mine")).await.code, Code::UNAUTHORIZED);
    assert_eq!(within(client.end()).await, None, "closed without a word");
    assert_eq!(desk.told().await, ("lamp".to_owned(), Ending::Left));
    assert!(desk.registry.is_empty());
}

#[tokio::test]
async fn who_has_not_signed_in_is_refused_and_another_connection_knows_nothing_of_it() {
    let desk = Desk::open();
    let (mut signed_in, mut other) = (desk.signed_in("lamp").await, desk.world.client().await);
    assert_eq!(within(other.get("/mine")).await.code, Code::UNAUTHORIZED);
    assert_eq!(within(other.end()).await, None);
    assert_eq!(within(signed_in.get("/mine")).await.code, Code::CONTENT);
}

#[tokio::test]
async fn a_refusal_may_end_the_connection_with_its_reason() {
    let desk = Desk::open();
    let mut client = desk.world.client().await;
    assert_eq!(within(client.ask(post("/session", "nonsense"))).await.code, Code::FORBIDDEN);
    assert_eq!(within(client.end()).await, Some(Closed::Aborted { diagnostic: "no device signs in so".to_owned() }));
}

#[tokio::test]
async fn who_signs_out_stays_connected_and_nobody_is_told_of_its_end() {
    let mut desk = Desk::open();
    let mut client = desk.signed_in("lamp").await;
    assert_eq!(within(client.ask(delete("/session"))).await.code, Code::DELETED);
    assert!(desk.registry.is_empty());
    assert_eq!(within(client.ask(post("/session", "torch ours 60"))).await.code, Code::CHANGED);
    drop(client);
    assert_eq!(desk.told().await, ("torch".to_owned(), Ending::Lost));
}

#[tokio::test]
async fn a_device_that_connects_again_takes_the_place_of_its_old_connection() {
    let mut desk = Desk::open();
    let mut old = desk.signed_in("lamp").await;
    let mut other = desk.signed_in("torch").await;
    let mut new = desk.signed_in("lamp").await;
    assert_eq!(within(old.end()).await, Some(Closed::Aborted { diagnostic: "the device has connected again".to_owned() }));
    assert_eq!(desk.told().await, ("lamp".to_owned(), Ending::Left));
    let seated = desk.registry.get(&"lamp".to_owned()).unwrap();
    assert_eq!((seated.peer().address(), desk.registry.len()), (new.local_address(), 2));
    // The same connection may sign in again, and nothing ends.
    assert_eq!(within(new.ask(post("/session", "lamp theirs 60"))).await.code, Code::CHANGED);
    assert_eq!(text(&within(new.get("/mine")).await), (Code::CONTENT, "lamp of theirs".to_owned()));
    assert_eq!(within(other.get("/mine")).await.code, Code::CONTENT);
}

#[tokio::test]
async fn the_end_is_told_once_with_its_reason() {
    let mut impatient = Desk::with(Config { idle_timeout: Duration::from_millis(300), ..Config::default() });
    let mut idle = impatient.signed_in("idle").await;
    assert_eq!(within(idle.end()).await, Some(Closed::Released));
    assert_eq!(impatient.told().await, ("idle".to_owned(), Ending::Idle));
    let mut desk = Desk::open();
    drop(desk.signed_in("lost").await);
    assert_eq!(desk.told().await, ("lost".to_owned(), Ending::Lost));
    let mut released = desk.signed_in("released").await;
    released.endpoint.release(now());
    released.send().await;
    assert_eq!(desk.told().await, ("released".to_owned(), Ending::Released));
    let mut aborted = desk.signed_in("aborted").await;
    aborted.endpoint.abort("enough");
    aborted.send().await;
    assert_eq!(desk.told().await, ("aborted".to_owned(), Ending::Aborted));
    assert!(desk.over.try_recv().is_err() && desk.registry.is_empty());
}

#[tokio::test]
async fn draining_waits_until_everybody_knows_of_the_end() {
    let mut desk = Desk::open();
    let mut client = desk.signed_in("lamp").await;
    desk.world.shutdown.start_draining();
    assert_eq!(within(client.end()).await, Some(Closed::Released));
    drop(client);
    desk.world.drained().await;
    assert_eq!(desk.over.try_recv().unwrap(), ("lamp".to_owned(), Ending::Drained));
}

#[tokio::test]
async fn also_a_server_that_stops_at_once_tells_of_the_end() {
    let mut desk = Desk::open();
    let _client = desk.signed_in("lamp").await;
    desk.world.shutdown.stop();
    // Stopping is draining too, and the peer may have been left in that moment.
    let (device, why) = desk.told().await;
    assert!(device == "lamp" && matches!(why, Ending::Stopped | Ending::Drained), "{why:?}");
}

#[tokio::test]
async fn work_that_is_carried_through_is_finished_without_the_peer_before_the_end_is_told() {
    let mut desk = Desk::open();
    let mut client = desk.signed_in("lamp").await;
    let _asked = client.begin(post("/careful", ""));
    assert_eq!(within(client.get("/mine")).await.code, Code::CONTENT, "both are worked on");
    let connection = desk.registry.get(&"lamp".to_owned()).unwrap();
    drop(client);
    within(connection.remote().closed()).await;
    assert!(desk.over.try_recv().is_err(), "it is not over while somebody works");
    desk.gate.add_permits(1);
    let mut told = [desk.told().await, desk.told().await];
    told.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(told, [("lamp".to_owned(), Ending::Lost), ("worked".to_owned(), Ending::Lost)]);
    assert_eq!(*desk.done.lock().unwrap(), [Ok(())]);
    assert_eq!(connection.set("too late").map(|_| ()), Err(Over));
}

#[tokio::test]
async fn work_that_need_not_be_carried_through_ends_with_the_connection() {
    let mut desk = Desk::open();
    let mut client = desk.signed_in("lamp").await;
    let _asked = client.begin(post("/slow", ""));
    assert_eq!(within(client.get("/mine")).await.code, Code::CONTENT, "both are worked on");
    drop(client);
    assert_eq!(desk.told().await, ("lamp".to_owned(), Ending::Lost));
    desk.gate.add_permits(1);
    desk.world.drained().await;
    assert!(desk.done.lock().unwrap().is_empty() && desk.over.try_recv().is_err());
}
