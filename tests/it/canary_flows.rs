//! What the canaries go through: letters with links, and programs that act for people.
//!
//! Every secret on the way is planted in [`Secrets`], and what clients are told that is not there to show one goes into [`Heard`].

use crate::{
    canaries::Heard,
    secrets::Secrets,
    web::{OURS, PASSWORD, Reply, Web},
};
use gatehouse_testkit::{process::poll_until, server::PATIENCE};
use serde_json::json;
use std::{collections::BTreeMap, fs, path::Path};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const NEW_PASSWORD: &str = "small boats float";
const CALLBACK: &str = "https%3A%2F%2Fapp.example.com%2Fcallback";
// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Registering, forgetting, changing an address, inviting: each link of a letter is planted.
pub(crate) fn letters(web: &mut Web, secrets: &mut Secrets, heard: &mut Heard) {
    let folder = web.server.installation().folder().join("letters");
    let link = |secrets: &mut Secrets, page: &str| {
        let secret = poll_until(PATIENCE, || link_to(&folder, page)).unwrap_or_else(|| panic!("no letter leads to {page}"));
        secrets.plant(&format!("link to {page}"), &secret);
        secret
    };
    secrets.plant("new password", NEW_PASSWORD);
    heard.reply(&web.post("/v1/register", &[], &json!({ "email": "dora@example.com", "name": "Dora", "password": PASSWORD })));
    let confirms = link(secrets, "/account/confirm");
    let opened = web.get(&format!("/account/confirm?secret={confirms}"), &[]);
    assert_eq!(opened.status, 200, "{opened:?}");
    heard.reply(&web.post("/v1/confirm", &[], &json!({ "link": confirms, "password": "not this one" })));
    heard.reply(&web.post("/v1/confirm", &[], &json!({ "link": confirms, "password": PASSWORD })));
    heard.reply(&web.post("/v1/forgot-password", &[], &json!({ "email": "dora@example.com" })));
    let resets = link(secrets, "/account/reset");
    heard.reply(&web.post("/v1/reset-password", &[], &json!({ "link": resets, "new": "password1" })));
    let reset = web.post("/v1/reset-password", &[], &json!({ "link": resets, "new": NEW_PASSWORD }));
    assert_eq!(reset.status, 204, "{reset:?}");
    heard.reply(&web.post("/v1/reset-password", &[], &json!({ "link": resets, "new": NEW_PASSWORD })));
    let signed_in = web.post("/v1/sign-in", &[], &json!({ "email": "dora@example.com", "password": NEW_PASSWORD }));
    let cookie = cookie_of(&signed_in);
    secrets.plant("Dora's session", cookie.split_once('=').expect("a pair").1);
    let ours = [("cookie", cookie.as_str()), OURS];
    heard.reply(&web.post("/v1/me/email", &ours, &json!({ "email": "dodo@example.com", "password": NEW_PASSWORD })));
    let (changes, keeps) = (link(secrets, "/account/address"), link(secrets, "/account/keep-address"));
    heard.reply(&web.post("/v1/address/confirm", &[], &json!({ "link": changes, "password": "not this one" })));
    let changed = web.post("/v1/address/confirm", &[], &json!({ "link": changes, "password": NEW_PASSWORD }));
    assert_eq!(changed.status, 204, "{changed:?}");
    heard.reply(&web.post("/v1/address/confirm", &[], &json!({ "link": changes, "password": NEW_PASSWORD })));
    heard.reply(&web.post("/v1/address/keep", &[], &json!({ "link": format!("{keeps}x") })));
    heard.reply(&web.post("/v1/invitations", &ours, &json!({ "email": "eve@example.com", "role": "viewer" })));
    let invites = link(secrets, "/account/invitation");
    for path in ["/v1/invitations", "/v1/me", "/v1/me/history"] {
        heard.reply(&web.get(path, &ours));
    }
    heard.reply(&web.post("/v1/invitations/look", &[], &json!({ "link": invites })));
    heard.reply(&web.post("/v1/invitations/accept", &[], &json!({ "link": invites, "name": "Eve", "password": "password1" })));
    // The folder is the one place where they may stand, and there they are.
    for secret in [confirms, resets, changes, keeps, invites] {
        let mut only = Secrets::default();
        only.plant("link", &secret);
        assert!(!only.found_below(&folder).is_empty(), "a link is not found where it is");
    }
}

/// An authorization code, refresh tokens and a device code, used well and badly.
pub(crate) fn grants(web: &mut Web, secrets: &mut Secrets, heard: &mut Heard) {
    web.add("fay@example.com");
    let cookie = web.sign_in("fay@example.com");
    secrets.plant("Fay's session", cookie.split_once('=').expect("a pair").1);
    let ours = [("cookie", cookie.as_str()), OURS];
    let app = json!({
        "name": "app", "role": "viewer", "scopes": ["members:read"], "redirect_uris": ["https://app.example.com/callback"],
    });
    let app = web.post("/v1/clients", &ours, &app);
    let shows = format!("client_id={}&client_secret={}", app.text("id"), app.text("secret"));
    secrets.plant("app's secret", app.text("secret"));
    secrets.plant("verifier", VERIFIER);
    let asks = format!(
        "/oauth/authorize?response_type=code&client_id={}&redirect_uri={CALLBACK}&scope=openid%20offline_access%20members%3Aread&state=s\
         &code_challenge={CHALLENGE}&code_challenge_method=S256",
        app.text("id")
    );
    let consent = web.get(&asks, &ours);
    let answer = web.send("POST", "/oauth/consent", &[&ours[..], &[FORM]].concat(), &saying_yes(&consent));
    let leads_to = answer.field("location").unwrap_or_else(|| panic!("no code: {answer:?}")).to_owned();
    let code = leads_to.split(['?', '&']).find_map(|pair| pair.strip_prefix("code=")).expect("a code").to_owned();
    secrets.plant("authorization code", &code);

    let exchange = format!("grant_type=authorization_code&code={code}&redirect_uri={CALLBACK}&{shows}");
    heard.reply(&web.send("POST", "/oauth/token", &[FORM], &format!("{exchange}&code_verifier={}", "A".repeat(43))));
    // A wrong verifier uses the code up: it takes another one.
    let answer = web.get(&asks, &ours);
    let answer = match answer.field("location") {
        Some(_) => answer,
        None => web.send("POST", "/oauth/consent", &[&ours[..], &[FORM]].concat(), &saying_yes(&answer)),
    };
    let leads_to = answer.field("location").expect("an address").to_owned();
    let second = leads_to.split(['?', '&']).find_map(|pair| pair.strip_prefix("code=")).expect("a code").to_owned();
    secrets.plant("second authorization code", &second);
    let exchange = format!("grant_type=authorization_code&code={second}&redirect_uri={CALLBACK}&{shows}&code_verifier={VERIFIER}");
    let tokens = web.send("POST", "/oauth/token", &[FORM], &exchange);
    let (access, refresh) = (plant(secrets, &tokens, "access_token"), plant(secrets, &tokens, "refresh_token"));
    plant(secrets, &tokens, "id_token");
    heard.reply(&web.get("/oauth/userinfo", &[("authorization", &format!("Bearer {access}"))]));
    heard.reply(&web.send("POST", "/oauth/introspect", &[FORM], &format!("token={refresh}&{shows}")));
    let renew = format!("grant_type=refresh_token&refresh_token={refresh}&{shows}");
    let renewed = web.send("POST", "/oauth/token", &[FORM], &renew);
    let next = plant(secrets, &renewed, "refresh_token");
    plant(secrets, &renewed, "access_token");
    heard.reply(&web.get("/v1/me/programs", &ours));
    // Shown twice: refused, and everything of it ended.
    heard.reply(&web.send("POST", "/oauth/token", &[FORM], &renew));
    heard.reply(&web.send("POST", "/oauth/token", &[FORM], &exchange));
    heard.reply(&web.send("POST", "/oauth/revoke", &[FORM], &format!("token={next}&{shows}")));
    device(web, secrets, heard, &ours);
}

fn device(web: &mut Web, secrets: &mut Secrets, heard: &mut Heard, ours: &[(&str, &str)]) {
    let posted = [ours, &[FORM]].concat();
    let waits = web.send("POST", "/oauth/device_authorization", &[FORM], "client_id=gatehouse-cli");
    let device_code = plant(secrets, &waits, "device_code");
    let user_code = waits.text("user_code");
    secrets.plant("user code", &user_code);
    secrets.plant("user code without its hyphen", user_code.replace('-', ""));
    heard.reply(&web.send("POST", "/device", &posted, "user_code=BBBB-BBBB&proof=x"));
    let page = web.get(&format!("/device?user_code={user_code}"), ours);
    let typed = filled(&page, &[("user_code", &user_code)]);
    let asked = web.send("POST", "/device", &posted, &typed);
    let answered = web.send("POST", "/device/answer", &posted, &saying_yes(&asked));
    assert_eq!(answered.status, 200, "{answered:?}");
    heard.reply(&answered);
    let poll =
        format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code={device_code}&client_id=gatehouse-cli");
    let tokens = web.send("POST", "/oauth/token", &[FORM], &poll);
    plant(secrets, &tokens, "access_token");
    heard.reply(&web.send("POST", "/oauth/token", &[FORM], &poll));
}

fn plant(secrets: &mut Secrets, answer: &Reply, key: &str) -> String {
    let secret = answer.text(key);
    secrets.plant(key, &secret);
    secret
}

fn cookie_of(reply: &Reply) -> String {
    let cookie = reply.field("set-cookie").unwrap_or_else(|| panic!("nobody is let in: {reply:?}"));
    cookie.split(';').next().expect("a pair").to_owned()
}

/// The secret of the link to this page, in the first captured letter that has one.
fn link_to(folder: &Path, page: &str) -> Option<String> {
    let letters = fs::read_dir(folder).ok()?.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    // RFC 2045 §6.7, as far as our letters need it.
    let texts = letters.map(|letter| letter.replace("=\r\n", "").replace("=3D", "="));
    texts.into_iter().find_map(|text| {
        let (_, rest) = text.split_once(&format!("{page}?secret="))?;
        let secret: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        (!secret.is_empty()).then_some(secret)
    })
}

/// The form of a page with its first organisation and a yes.
fn saying_yes(page: &Reply) -> String {
    let (_, option) = page.body.split_once("<option value=\"").unwrap_or_else(|| panic!("nobody is asked: {page:?}"));
    filled(page, &[("organisation", option.split('"').next().unwrap_or_default()), ("answer", "yes")])
}

/// The form of a page with these fields filled in.
fn filled(page: &Reply, with: &[(&str, &str)]) -> String {
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!("{name}=\""))?;
        Some(rest.split('"').next()?.replace("&quot;", "\"").replace("&#39;", "'").replace("&lt;", "<").replace("&amp;", "&"))
    };
    let inputs = page.body.split("<input ").skip(1).filter_map(|rest| rest.split('>').next());
    let mut fields: BTreeMap<_, _> = inputs.filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?))).collect();
    fields.extend(with.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
}

fn encoded(text: &str) -> String {
    let one = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}
