//! A browser without scripts: it keeps cookies, sends the forms of pages and follows us where we send it.

use super::doors::{Answer, Door};
use axum::http::{Method, StatusCode, header};
use gatehouse_types::Secret;
use std::collections::BTreeMap;

#[derive(Clone, Default)]
pub(super) struct Browser {
    pub(super) cookies: BTreeMap<String, String>,
}

/// A form as it stands in a page.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) action: String,
    pub(super) fields: BTreeMap<String, String>,
    pub(super) options: Vec<String>,
}

impl Form {
    pub(super) fn of(page: &str) -> Self {
        let attribute = |tag: &str, name: &str| {
            let value = tag.split_once(&format!(" {name}=\"")).and_then(|(_, rest)| rest.split_once('"'));
            value.map(|(value, _)| value.replace("&quot;", "\"").replace("&#39;", "'").replace("&lt;", "<").replace("&amp;", "&"))
        };
        let tags = |name: &str| page.split(&format!("<{name} ")).skip(1).map(|tag| format!(" {tag}")).collect::<Vec<_>>();
        let fields = tags("input").iter().filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?))).collect();
        let options = tags("option").iter().filter_map(|tag| attribute(tag, "value")).collect();
        let action = tags("form").first().and_then(|tag| attribute(tag, "action")).unwrap_or_else(|| panic!("no form: {page}"));
        Self { action, fields, options }
    }

    pub(super) fn with(mut self, fields: &[(&str, &str)]) -> Self {
        self.fields.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    fn encoded(&self) -> String {
        let encoded = crate::oauth::encoded;
        self.fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
    }
}

impl Browser {
    pub(super) async fn get(&mut self, door: &Door, path: &str) -> Answer {
        let cookies = self.cookies();
        let answer = door.ask(Method::GET, path, &[("cookie", &cookies)], None).await;
        self.keep(&answer);
        answer
    }

    pub(super) async fn send(&mut self, door: &Door, form: &Form) -> Answer {
        self.send_from("same-origin", door, form).await
    }

    pub(super) async fn send_from(&mut self, site: &str, door: &Door, form: &Form) -> Answer {
        let cookies = self.cookies();
        let answer = door.form(&form.action, &[("cookie", &cookies), ("sec-fetch-site", site)], &form.encoded()).await;
        self.keep(&answer);
        answer
    }

    /// Signs in on the page that asks for it; the answer is the page that follows.
    pub(super) async fn sign_in(&mut self, door: &Door, page: &Answer, password: &str) -> Answer {
        let form = Form::of(&page.text).with(&[("email", "ann@example.com"), ("password", password)]);
        let answer = self.send(door, &form).await;
        match location(&answer) {
            Some(path) if answer.status == StatusCode::SEE_OTHER => self.get(door, &path).await,
            _ => answer,
        }
    }

    /// What somebody can make of their own session's cookie, who knows how ties were made once.
    pub(super) async fn unkeyed_tie(&self, door: &Door, purpose: &str, about: &str) -> String {
        let secret = Secret::from(self.cookies.get("__Host-gatehouse-session").expect("a session").clone());
        let (id, _) = door.world.accounts.session(&secret).await.expect("read").expect("it goes on");
        let text = [id.0.as_slice(), b"\0", about.as_bytes()].concat();
        data_encoding::BASE64URL_NOPAD.encode(&crate::secret::digest_of(purpose, &Secret::new(text)))
    }

    pub(super) fn cookies(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep(&mut self, answer: &Answer) {
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().expect("text");
            let (name, value) = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair");
            match cookie.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
    }
}

pub(super) fn location(answer: &Answer) -> Option<String> {
    answer.headers.get(header::LOCATION).map(|location| location.to_str().expect("text").to_owned())
}

/// A parameter of the address that somebody was sent to.
pub(super) fn parameter(address: &str, name: &str) -> Option<String> {
    let (_, query) = address.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")))?;
    Some(value.replace("%3A", ":").replace("%2F", "/"))
}
