//! Conditional requests (RFC 7252 §5.10.6, §5.10.8).

use crate::{
    client::get,
    world::{World, within},
};
use gatehouse_base::{Denied, Fetch, Publications};
use gatehouse_coap::{Anyone, ETag, Granted, Permission, Refusal, Request, Response, Route, Routes, discovery, publications};
use gatehouse_wire::coap::{
    Code, ContentFormat, Message, OptionNumber, Options,
    endpoint::{self, Event},
};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// A note that counts its versions, and how often anybody got as far as its handlers.
#[derive(Default)]
struct Note {
    text: Option<String>,
    version: u64,
    handled: u32,
}

type Shared = Arc<Mutex<Note>>;

fn notes(note: &Shared) -> Routes {
    let (read, written, gone, tagged) = (Arc::clone(note), Arc::clone(note), Arc::clone(note), Arc::clone(note));
    let current = move |_: &Request| {
        let note = tagged.lock().unwrap();
        let tag = note.text.as_ref().map(|_| ETag::version(note.version));
        async move { Ok(tag) }
    };
    let read = move |_: Granted<Anyone>, _: Request| {
        let mut note = read.lock().unwrap();
        note.handled += 1;
        let text = note.text.clone();
        async move { Response::body(ContentFormat::TEXT, text.unwrap_or_default()) }
    };
    let write = move |_: Granted<Anyone>, request: Request| {
        let mut note = written.lock().unwrap();
        let before = note.text.as_ref().map(|_| ETag::version(note.version));
        assert_eq!(request.tag(), before.as_ref(), "it is told what was judged");
        note.handled += 1;
        note.version += 1;
        note.text = Some(String::from_utf8_lossy(request.body()).into_owned());
        let tag = ETag::version(note.version);
        async move { Response::new(Code::CHANGED).with_tag(&tag) }
    };
    let remove = move |_: Granted<Anyone>, _: Request| {
        gone.lock().unwrap().text = None;
        async { Code::DELETED }
    };
    Routes::new()
        .with(Route::get("/note", read).tagged_by(current.clone()))
        .with(Route::new(Code::PUT, "/note", write).tagged_by(current.clone()))
        .with(Route::new(Code::DELETE, "/note", remove).tagged_by(current))
}

fn ask(code: Code, path: &str, conditions: &[(OptionNumber, &[u8])]) -> endpoint::Request {
    let options = Options::builder().path(path).unwrap();
    let options = conditions.iter().fold(options, |all, (number, value)| all.push(*number, value).unwrap());
    endpoint::Request::new(code).options(options.build())
}

fn tag(answer: &Message) -> Vec<u8> {
    answer.options.first(OptionNumber::ETAG).expect("a tag").to_vec()
}

#[tokio::test]
async fn section_5_10_8_who_changes_a_resource_changes_what_it_has_seen_or_nothing() {
    let note = Shared::default();
    let world = World::new(notes(&note));
    let mut client = world.client().await;
    let none = [(OptionNumber::IF_NONE_MATCH, &[][..])];
    let any = [(OptionNumber::IF_MATCH, &[][..])];
    assert_eq!(within(client.ask(ask(Code::PUT, "/note", &any).payload("0"))).await.code, Code::PRECONDITION_FAILED, "nothing is there");
    let made = within(client.ask(ask(Code::PUT, "/note", &none).payload("1"))).await;
    assert_eq!(made.code, Code::CHANGED);
    assert_eq!(within(client.ask(ask(Code::PUT, "/note", &none).payload("2"))).await.code, Code::PRECONDITION_FAILED, "it is there now");
    let (first, made) = (tag(&made), tag(&made));
    let seen = [(OptionNumber::IF_MATCH, &made[..])];
    assert_eq!(within(client.ask(ask(Code::PUT, "/note", &seen).payload("3"))).await.code, Code::CHANGED);
    assert_eq!(within(client.ask(ask(Code::PUT, "/note", &seen).payload("4"))).await.code, Code::PRECONDITION_FAILED, "it has changed");
    assert_eq!(within(client.ask(ask(Code::DELETE, "/note", &seen))).await.code, Code::PRECONDITION_FAILED);
    let read = within(client.get("/note")).await;
    assert_eq!((read.code, &read.payload[..]), (Code::CONTENT, &b"3"[..]));
    assert_ne!(tag(&read), first);
    assert_eq!(note.lock().unwrap().handled, 3);
    assert_eq!(within(client.ask(ask(Code::DELETE, "/note", &[(OptionNumber::IF_MATCH, &tag(&read))]))).await.code, Code::DELETED);
}

#[tokio::test]
async fn section_5_10_6_who_has_the_state_is_told_so_without_asking_anybody() {
    let note = Arc::new(Mutex::new(Note { text: Some("hello".to_owned()), version: 7, handled: 0 }));
    let world = World::new(notes(&note));
    let mut client = world.client().await;
    let whole = within(client.get("/note")).await;
    let has = tag(&whole);
    let valid = within(client.ask(ask(Code::GET, "/note", &[(OptionNumber::ETAG, b"other"), (OptionNumber::ETAG, &has)]))).await;
    assert_eq!((valid.code, valid.payload.len(), tag(&valid)), (Code::VALID, 0, has.clone()));
    assert_eq!(note.lock().unwrap().handled, 1);
    note.lock().unwrap().version += 1;
    assert_eq!(within(client.ask(ask(Code::GET, "/note", &[(OptionNumber::ETAG, &has)]))).await.code, Code::CONTENT);
}

#[tokio::test]
async fn nobody_learns_a_tag_that_may_not_see_the_resource() {
    enum Nobody {}
    impl Permission for Nobody {
        const NAME: &'static str = "nobody";
        type Found = ();
        fn check(_: &Request) -> Result<(), Refusal> {
            Err(Denied::Forbidden.into())
        }
    }
    let secret = |_: Granted<Nobody>, _: Request| async { Response::new(Code::CONTENT) };
    let current = |_: &Request| async { unreachable!("nobody gets here") };
    let world = World::new(Routes::new().with(Route::get("/secret", secret).tagged_by(current)));
    let mut client = world.client().await;
    let guess = [(OptionNumber::IF_MATCH, &b"guess"[..])];
    assert_eq!(within(client.ask(ask(Code::GET, "/secret", &guess))).await.code, Code::FORBIDDEN);
}

#[tokio::test]
async fn an_observer_of_a_tagged_resource_that_has_its_state_is_told_of_the_next_one_with_its_tag() {
    let (states, receiver) = watch::channel("one");
    let tell = move |_: Granted<Anyone>, _: Request| {
        let show = |state: &&'static str| -> Result<Response, Refusal> { Ok(Response::body(ContentFormat::TEXT, *state)) };
        let answer = Response::observed(receiver.clone(), show);
        async move { answer }
    };
    let world = World::new(Routes::new().with(Route::get("/state", tell).tagged()));
    let mut client = world.client().await;
    let has = tag(&within(client.get("/state")).await);
    let observing = client.begin(ask(Code::GET, "/state", &[(OptionNumber::ETAG, &has)]).observe());
    assert_eq!(within(client.answer(observing)).await.code, Code::VALID);
    states.send("two").unwrap();
    let told = within(client.next()).await;
    let Some(Event::Notification { message, .. }) = told else { panic!("{told:?}") };
    assert_eq!((message.code, &message.payload[..], &tag(&message)[..]), (Code::CONTENT, &b"two"[..], ETag::of(b"two").as_bytes()));
}

/// One authority with a certificate and a list.
struct Authority;

impl Publications for Authority {
    fn authorities(&self) -> Fetch<Vec<String>> {
        Box::pin(async { Ok(vec!["root".to_owned()]) })
    }

    fn certificate(&self, authority: String) -> Fetch<Option<Vec<u8>>> {
        Box::pin(async move { Ok((authority == "root").then(|| b"certificate".to_vec())) })
    }

    fn chain(&self, _: String) -> Fetch<Option<String>> {
        unreachable!("nothing here is shown as PEM")
    }

    fn revocations(&self, authority: String) -> Fetch<Option<Vec<u8>>> {
        Box::pin(async move { Ok((authority == "root").then(|| b"list".to_vec())) })
    }
}

#[tokio::test]
async fn what_everybody_may_read_is_not_fetched_twice() {
    let world = World::new(discovery(publications(Arc::new(Authority))));
    let mut client = world.client().await;
    for path in ["/.well-known/core", "/ca", "/ca/root.cer", "/crl/root.crl"] {
        let whole = within(client.get(path)).await;
        let has = tag(&whole);
        for (option, value, code) in [
            (OptionNumber::ETAG, &has[..], Code::VALID),
            (OptionNumber::ETAG, b"other", Code::CONTENT),
            (OptionNumber::IF_MATCH, &has, Code::CONTENT),
            (OptionNumber::IF_MATCH, &[], Code::CONTENT),
            (OptionNumber::IF_MATCH, b"other", Code::PRECONDITION_FAILED),
            (OptionNumber::IF_NONE_MATCH, &[], Code::PRECONDITION_FAILED),
        ] {
            let answer = within(client.ask(ask(Code::GET, path, &[(option, value)]))).await;
            assert_eq!(
                (answer.code, answer.payload.is_empty() && code == Code::VALID),
                (code, code == Code::VALID),
                "{path} {option}: {answer:?}"
            );
        }
    }
    let nothing = within(client.ask(ask(Code::GET, "/ca/other.cer", &[(OptionNumber::IF_MATCH, b"any")]))).await;
    assert_eq!(nothing.code, Code::PRECONDITION_FAILED);
    assert_eq!(within(client.ask(get("/ca/other.cer"))).await.code, Code::NOT_FOUND);
}
