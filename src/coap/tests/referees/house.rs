//! The door with a small set of resources, behind any of the four transports.

use crate::secure::{judge_of, own};
use gatehouse_base::{SimulatedClock, SystemRandom};
use gatehouse_certs::{chain::Question, folder};
use gatehouse_coap::{
    Anyone, Common, Config, Framing, Granted, Refusal, Refusals, Request, Response, Route, Routes, Server, Traces, VerifiedPeer, time,
};
use gatehouse_net::{DatagramGate, DatagramListener, Dtls, Gate, Listener, Shutdown, Tls};
use gatehouse_types::UnixTime;
use gatehouse_wire::coap::{Code, ContentFormat};
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle};

/// What `/greeting` says.
pub(crate) const WELCOME: &str = "welcome to the gatehouse";

/// What the clock of `/x.plgd.dev/time` shows.
const TOLD: UnixTime = UnixTime::from_millis(1_767_323_045_678);

/// A door that runs until it is dropped.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    /// What `/note` says. Whoever observes it holds a receiver.
    note: watch::Sender<String>,
    /// By which chains are judged.
    clock: Arc<SimulatedClock>,
    shutdown: Shutdown,
    running: JoinHandle<()>,
}

impl Drop for House {
    fn drop(&mut self) {
        self.shutdown.stop();
        self.running.abort();
    }
}

impl House {
    /// `coap+tcp`.
    pub(crate) fn clear() -> Self {
        let listener = Listener::bind("clear", ([127, 0, 0, 1], 0).into(), None).expect("bound");
        Self::stream(listener, Framing::Standard, clock())
    }

    /// `coaps+tcp` for whoever presents a chain below the anchors of this one of `certs/`.
    pub(crate) fn tls(chain: &str, framing: Framing) -> Self {
        let clock = clock();
        let tls = Tls::for_devices("tls", own(), &[b"coap"], judge_of(chain), clock.clone());
        Self::stream(Listener::bind("tls", ([127, 0, 0, 1], 0).into(), Some(tls)).expect("bound"), framing, clock)
    }

    /// `coap`.
    pub(crate) fn datagrams() -> Self {
        let gate = DatagramGate::new(&gatehouse_net::Config::default());
        Self::datagram(DatagramListener::bind("udp", ([127, 0, 0, 1], 0).into(), gate, None).expect("bound"), clock())
    }

    /// `coaps` for whoever presents a chain below the anchors of this one of `certs/`.
    pub(crate) fn dtls(chain: &str) -> Self {
        let clock = clock();
        let gate = DatagramGate::new(&gatehouse_net::Config::default());
        let dtls = Dtls::new("dtls", &gate, own(), &[b"coap"], judge_of(chain), clock.clone(), &SystemRandom);
        Self::datagram(DatagramListener::bind("dtls", ([127, 0, 0, 1], 0).into(), gate, Some(dtls)).expect("bound"), clock)
    }

    /// The door behind this scheme.
    pub(crate) fn behind(scheme: &str, chain: &str) -> Self {
        match scheme {
            "coap" => Self::datagrams(),
            "coaps" => Self::dtls(chain),
            "coap+tcp" => Self::clear(),
            _ => Self::tls(chain, Framing::Standard),
        }
    }

    fn stream(listener: Listener, framing: Framing, clock: Arc<SimulatedClock>) -> Self {
        let (note, shutdown, address) = (watch::Sender::new(String::new()), Shutdown::new(), listener.address());
        let gate = Gate::new(gatehouse_net::Config::default());
        let running = tokio::spawn(listener.run(server(&note, framing), gate, shutdown.clone()));
        Self { address, note, clock, shutdown, running }
    }

    fn datagram(listener: DatagramListener, clock: Arc<SimulatedClock>) -> Self {
        let (note, shutdown, address) = (watch::Sender::new(String::new()), Shutdown::new(), listener.address());
        let running = tokio::spawn(listener.run(server(&note, Framing::Standard), shutdown.clone()));
        Self { address, note, clock, shutdown, running }
    }

    /// Lets `/note` say this from now on.
    pub(crate) fn say(&self, note: &str) {
        self.note.send_replace(note.to_owned());
    }

    /// Lets years pass, after which no chain of `certs/` is good any more.
    pub(crate) fn let_chains_expire(&self) {
        self.clock.advance(Duration::from_secs(100 * 365 * 86_400));
    }

    /// Waits until nobody observes `/note` any more.
    pub(crate) async fn forgotten(&self) {
        self.note.closed().await;
    }
}

fn clock() -> Arc<SimulatedClock> {
    Arc::new(SimulatedClock::new(UnixTime::from(Question::CLIENT.at)))
}

fn server(note: &watch::Sender<String>, framing: Framing) -> Arc<Server> {
    let (config, refusals) = (Config::default(), if framing == Framing::Devices { Refusals::DEVICES } else { Refusals::default() });
    let common = Common::new(&config, Traces::new());
    Arc::new(Server::new(routes(note).refusing(refusals), framing, config, &common, Arc::new(SystemRandom)))
}

fn routes(note: &watch::Sender<String>) -> Routes {
    let (read, written) = (note.clone(), note.clone());
    let read = move |_: Granted<Anyone>, request: Request| {
        let show = |state: &String| -> Result<Response, Refusal> { Ok(Response::body(ContentFormat::TEXT, state.clone())) };
        let answer = if request.observes() { Response::observed(read.subscribe(), show) } else { show(&read.borrow()) };
        async move { answer }
    };
    let write = move |_: Granted<Anyone>, request: Request| {
        written.send_replace(String::from_utf8_lossy(request.body()).into_owned());
        async { Code::CHANGED }
    };
    time(Arc::new(SimulatedClock::new(TOLD)))
        .with(Route::get("/greeting", greet))
        .with(Route::get("/whoami", tell))
        .with(Route::get("/note", read))
        .with(Route::new(Code::PUT, "/note", write))
        .with(Route::post("/turn", turn_around))
}

async fn greet(_: Granted<Anyone>, _: Request) -> Response {
    Response::body(ContentFormat::TEXT, WELCOME)
}

async fn tell(chain: Granted<VerifiedPeer>, request: Request) -> Response {
    let alpn = request.peer().alpn().map_or_else(|| "none".into(), String::from_utf8_lossy);
    Response::body(ContentFormat::TEXT, format!("{:?} {alpn} {}", request.peer().engine(), chain.path().len()))
}

async fn turn_around(_: Granted<Anyone>, request: Request) -> Response {
    Response::body(ContentFormat::OCTET_STREAM, request.body().iter().rev().copied().collect::<Vec<_>>()).with_code(Code::CHANGED)
}

/// The files of a client: its chain, and the key of its leaf.
pub(crate) fn files(chain: &str) -> [PathBuf; 2] {
    ["chain.pem", "leaf-key.pem"].map(|name| folder::home().join(chain).join(name))
}
