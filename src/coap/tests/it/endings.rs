//! How connections end that are encrypted: with a word of CoAP where there is one, and always with one of TLS or DTLS, so that
//! the peer knows that nobody has cut it off.

use crate::{
    client::{Client, get, now},
    secure::{device, judge, options, own},
    world::within,
};
use gatehouse_base::{Clock, SimulatedClock, SystemRandom};
use gatehouse_certs::chain::Question;
use gatehouse_coap::{
    Anyone, Common, Config, Connection, Ending, Framing, Granted, Leave, Request, Response, Route, Routes, Server, Traces, VerifiedPeer,
};
use gatehouse_net::{Connector, DatagramGate, DatagramListener, Dtls, DtlsClient, DtlsConnector, Gate, Listener, Shutdown, Stream, Tls};
use gatehouse_types::UnixTime;
use gatehouse_wire::coap::{
    Code, Message,
    endpoint::{Closed, Endpoint, Event},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::mpsc};

/// A door for devices that tells how the connections ended of those that said hello.
struct House {
    address: SocketAddr,
    clock: Arc<SimulatedClock>,
    ended: mpsc::UnboundedReceiver<Ending>,
    shutdown: Shutdown,
}

impl Drop for House {
    fn drop(&mut self) {
        self.shutdown.stop();
    }
}

/// What is remembered of whoever said hello.
struct Hello;

impl House {
    fn tls(config: Config) -> Self {
        let clock = Arc::new(SimulatedClock::new(UnixTime::from(Question::CLIENT.at)));
        let tls = Tls::for_devices("tls", own(), &[b"coap"], judge(), Arc::clone(&clock) as Arc<dyn Clock>);
        let listener = Listener::bind("tls", ([127, 0, 0, 1], 0).into(), Some(tls)).unwrap();
        let (house, server) = Self::new(listener.address(), clock, config);
        tokio::spawn(listener.run(server, Gate::new(gatehouse_net::Config::default()), house.shutdown.clone()));
        house
    }

    fn dtls() -> Self {
        let clock = Arc::new(SimulatedClock::new(UnixTime::from(Question::CLIENT.at)));
        let gate = DatagramGate::new(&gatehouse_net::Config::default());
        let dtls = Dtls::new("dtls", &gate, own(), &[b"coap"], judge(), Arc::clone(&clock) as Arc<dyn Clock>, &SystemRandom);
        let listener = DatagramListener::bind("dtls", ([127, 0, 0, 1], 0).into(), gate, Some(dtls)).unwrap();
        let (house, server) = Self::new(listener.address(), clock, Config::default());
        tokio::spawn(listener.run(server, house.shutdown.clone()));
        house
    }

    fn new(address: SocketAddr, clock: Arc<SimulatedClock>, config: Config) -> (Self, Arc<Server>) {
        let (tell, ended) = mpsc::unbounded_channel();
        let hello = |_: Granted<VerifiedPeer>, request: Request| async move {
            request.connection().set(Hello).unwrap();
            Response::new(Code::CHANGED)
        };
        let leave = |how| move |_: Granted<Anyone>, _: Request| async move { Response::new(Code::CHANGED).then_leave(how) };
        let routes = Routes::new()
            .with(Route::get("/hello", hello))
            .with(Route::get("/close", leave(Leave::Close)))
            .with(Route::get("/abort", leave(Leave::Abort("enough"))))
            .when_over(move |_: Arc<Hello>, _: Connection, why| {
                let tell = tell.clone();
                async move { tell.send(why).unwrap_or_default() }
            });
        let common = Common::new(&config, Traces::new());
        let server = Arc::new(Server::new(routes, Framing::Standard, config, &common, Arc::new(SystemRandom)));
        (Self { address, clock, ended, shutdown: Shutdown::new() }, server)
    }

    /// A client over TLS that has said hello.
    async fn client(&self) -> Client<Stream> {
        let device = device();
        let connector = Connector::new(options(&device)).unwrap();
        let tcp = TcpStream::connect(self.address).await.unwrap();
        let (stream, _) = within(connector.connect(tcp, None)).await.unwrap();
        let mut client = within(Client::over(stream)).await;
        assert_eq!(within(client.get("/hello")).await.code, Code::CHANGED);
        client
    }

    /// Lets the time pass until the chain of its peers is no longer good.
    fn let_chains_expire(&self) {
        self.clock.set(UnixTime::from(Question::CLIENT.at) + Duration::from_secs(100 * 366 * 86_400));
    }

    async fn told(&mut self) -> Ending {
        within(self.ended.recv()).await.unwrap()
    }
}

/// A client over DTLS.
struct Datagrams {
    client: DtlsClient,
    endpoint: Endpoint,
}

impl Datagrams {
    async fn enter(house: &House) -> Self {
        let device = device();
        let client = within(DtlsConnector::new(options(&device)).unwrap().connect(house.address, None)).await.unwrap();
        let mut entered = Self { client, endpoint: Endpoint::udp(Arc::default(), Arc::new(SystemRandom), now()) };
        assert_eq!(within(entered.get("/hello")).await.code, Code::CHANGED);
        entered
    }

    async fn get(&mut self, path: &str) -> Message {
        self.endpoint.request(now(), get(path)).unwrap();
        loop {
            while let Some(datagram) = self.endpoint.poll_transmit(now()) {
                self.client.send(&datagram).await.unwrap();
            }
            let datagram = self.client.receive().await.unwrap().expect("an answer");
            self.endpoint.handle_datagram(now(), datagram);
            while let Some(event) = self.endpoint.poll_event() {
                if let Event::Response { message, .. } = event {
                    return message;
                }
            }
        }
    }

    /// Whether the server says good-bye, and nothing before it.
    async fn is_left(&mut self) -> bool {
        within(self.client.receive()).await.unwrap().is_none()
    }
}

#[tokio::test]
async fn an_answer_comes_before_the_end_and_the_end_is_said() {
    let mut house = House::tls(Config::default());
    for (path, end) in [("/close", None), ("/abort", Some(Closed::Aborted { diagnostic: "enough".to_owned() }))] {
        let mut client = house.client().await;
        assert_eq!(within(client.get(path)).await.code, Code::CHANGED);
        assert_eq!(within(client.end()).await, end);
        assert!(within(client.good_bye()).await, "close_notify behind {path}");
        assert_eq!(house.told().await, Ending::Left);
    }
}

#[tokio::test]
async fn who_asks_for_nothing_and_who_is_there_when_we_stop_gets_release_and_close_notify() {
    let mut house = House::tls(Config { idle_timeout: Duration::from_millis(100), ..Config::default() });
    let mut idle = house.client().await;
    assert_eq!(within(idle.end()).await, Some(Closed::Released));
    assert!(within(idle.good_bye()).await);
    assert_eq!(house.told().await, Ending::Idle);
    let mut house = House::tls(Config::default());
    let mut drained = house.client().await;
    house.shutdown.start_draining();
    assert_eq!(within(drained.end()).await, Some(Closed::Released));
    assert!(within(drained.good_bye()).await);
    assert_eq!(house.told().await, Ending::Drained);
}

#[tokio::test]
async fn whose_chain_is_no_longer_good_is_told_so() {
    let mut house = House::tls(Config::default());
    let mut client = house.client().await;
    house.let_chains_expire();
    assert_eq!(within(client.end()).await, Some(Closed::Aborted { diagnostic: "the certificate is no longer good".to_owned() }));
    assert!(within(client.good_bye()).await);
    assert_eq!(house.told().await, Ending::Revoked);
}

#[tokio::test]
async fn peers_over_dtls_get_the_alert_that_says_so() {
    let mut house = House::dtls();
    let mut client = Datagrams::enter(&house).await;
    assert_eq!(within(client.get("/abort")).await.code, Code::CHANGED);
    assert!(client.is_left().await);
    assert_eq!(house.told().await, Ending::Left);
    // And the other way round.
    Datagrams::enter(&house).await.client.close().await;
    assert_eq!(house.told().await, Ending::Lost);
    let mut expired = Datagrams::enter(&house).await;
    house.let_chains_expire();
    assert!(expired.is_left().await);
    assert_eq!(house.told().await, Ending::Revoked);
    let mut house = House::dtls();
    let mut drained = Datagrams::enter(&house).await;
    house.shutdown.start_draining();
    assert!(drained.is_left().await);
    assert_eq!(house.told().await, Ending::Drained);
}
