//! Devices that are let in, that repeat what they were not answered, and those who have what is not theirs.

mod thieves;

use super::{
    AdmissionError, Admissions, AlarmInfo, Entitlement, NewCode, OWN_PROVIDER, Presenter, Theft, Tokens, VerifiedDevice, authority,
};
use crate::{
    Fact, Member, Role,
    tests::{World, add},
};
use gatehouse_types::{DeviceId, HubId, OrganisationId, Secret, UnixTime};
use std::{sync::Arc, time::Duration};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A world with an organisation that has a device.
pub(super) struct Line {
    pub(super) world: World,
    pub(super) admissions: Admissions,
    pub(super) home: Member,
    pub(super) device: DeviceId,
    pub(super) hub: HubId,
}

impl Line {
    pub(super) async fn new() -> Self {
        Self::of(World::new().await).await
    }

    pub(super) async fn of(world: World) -> Self {
        let home = world.ann_at_home().await;
        let admissions = world.accounts.admissions();
        Self { admissions, home, device: DeviceId::from_random([7; 16]), hub: HubId::from_random([8; 16]), world }
    }

    pub(super) fn now(&self) -> UnixTime {
        gatehouse_base::Clock::now(&*self.world.clock)
    }

    /// The device over this key.
    pub(super) fn over(&self, key: u8) -> Presenter {
        Presenter::of_key(self.home.organisation, self.device, self.hub, key)
    }

    fn wanted(&self) -> NewCode {
        NewCode { device: self.device, hub: self.hub, group: None }
    }

    pub(super) async fn code(&self) -> Secret {
        self.admissions.issue(self.home.organisation, self.wanted(), self.now()).await.expect("issued").1
    }

    pub(super) async fn exchange(&self, code: &Secret, key: u8) -> Result<Tokens, AdmissionError> {
        self.admissions.exchange(None, code, &self.over(key), self.now()).await
    }

    pub(super) async fn refresh(&self, token: &Secret, key: u8) -> Result<Tokens, AdmissionError> {
        self.admissions.refresh(token, &self.over(key), self.now()).await
    }

    pub(super) async fn sign_in(&self, token: &Secret, key: u8) -> Result<VerifiedDevice, AdmissionError> {
        self.admissions.verify(token, &self.over(key), self.now()).await
    }

    /// Days pass, in which the keys that sign tokens are looked after.
    async fn pass_days(&self, days: u32) {
        self.world.pass(DAY * days);
        self.world.accounts.signing_keys().upkeep().await.expect("keys");
    }

    pub(super) async fn alarms(&self) -> Vec<AlarmInfo> {
        self.admissions.alarms(&self.home, None, 100).await.expect("read")
    }

    async fn admitted(&self) -> usize {
        self.admissions.admissions(&self.home, None, 100, self.now()).await.expect("read").len()
    }
}

fn same(one: &Tokens, other: &Tokens) -> bool {
    (&one.access, &one.refresh) == (&other.access, &other.refresh)
}

fn not_good<T>(result: Result<T, AdmissionError>) -> bool {
    matches!(result, Err(AdmissionError::NotGood))
}

fn stolen<T>(result: Result<T, AdmissionError>, why: Theft) -> bool {
    matches!(result, Err(AdmissionError::Stolen(found)) if found == why)
}

#[tokio::test]
async fn a_code_is_exchanged_for_tokens_with_which_the_device_signs_in() {
    let line = Line::new().await;
    let code = line.code().await;
    let tokens = line.exchange(&code, 1).await.expect("admitted");
    assert_eq!((tokens.owner, tokens.lifetime), (line.home.organisation, HOUR * 12));
    let device = line.sign_in(&tokens.access, 1).await.expect("signed in");
    assert_eq!((device.organisation(), device.device(), device.hub()), (line.home.organisation, line.device, line.hub));
    let told = line.admissions.admissions(&line.home, None, 10, line.now()).await.expect("read");
    assert_eq!((told.len(), told[0].device, told[0].authority.as_str()), (1, line.device, OWN_PROVIDER));
    assert!(line.alarms().await.is_empty());
}

#[tokio::test]
async fn the_token_carries_owner_device_audience_and_the_key() {
    let line = Line::new().await;
    let tokens = line.exchange(&line.code().await, 1).await.expect("admitted");
    let text = crate::secret::text(&tokens.access);
    let part = |at: usize| data_encoding::BASE64URL_NOPAD.decode(text.split('.').nth(at).expect("a part").as_bytes()).expect("base 64");
    let (header, claims): (serde_json::Value, serde_json::Value) =
        (serde_json::from_slice(&part(0)).expect("JSON"), serde_json::from_slice(&part(1)).expect("JSON"));
    assert_eq!(header["typ"], "device+jwt");
    assert_eq!(claims["owner"], line.home.organisation.to_string());
    assert_eq!((&claims["sub"], &claims["device_id"]), (&line.device.to_string().into(), &line.device.to_string().into()));
    assert_eq!(claims["aud"], "https://gatehouse.example.com:8443/gateway");
    assert_eq!(claims["cnf"]["kid"], data_encoding::BASE64URL_NOPAD.encode(&[1; 32]));
    assert!(text.len() < 4096, "devices take no longer ones");
}

#[tokio::test]
async fn a_code_is_good_for_its_time_its_device_its_hub_and_its_organisation() {
    let line = Line::new().await;
    let (organisation, device, hub) = (line.home.organisation, line.device, line.hub);
    let (other_device, other_hub) = (DeviceId::from_random([70; 16]), HubId::from_random([80; 16]));
    let other_organisation = OrganisationId::from_random([90; 16]);
    let code = line.code().await;
    for at in [
        Presenter::of_key(organisation, device, other_hub, 1),
        Presenter::of_key(other_organisation, device, hub, 1),
        Presenter::of_key(organisation, other_device, hub, 1),
    ] {
        assert!(line.admissions.exchange(None, &code, &at, line.now()).await.is_err(), "{at:?}");
    }
    line.exchange(&code, 1).await.expect("its own device may still use it");
    let late = line.code().await;
    line.world.pass(HOUR - Duration::from_millis(1));
    line.exchange(&late, 1).await.expect("in time");
    let late = line.code().await;
    line.world.pass(HOUR);
    assert!(not_good(line.exchange(&late, 1).await));
    assert!(not_good(line.exchange(&Secret::from("gto_nonsense".to_owned()), 1).await));
}

#[tokio::test]
async fn a_code_that_another_device_shows_raises_one_alarm() {
    let line = Line::new().await;
    let code = line.code().await;
    let thief = Presenter::of_key(line.home.organisation, DeviceId::from_random([70; 16]), line.hub, 9);
    assert!(stolen(line.admissions.exchange(None, &code, &thief, line.now()).await, Theft::OtherDevice));
    assert!(not_good(line.admissions.exchange(None, &code, &thief, line.now()).await));
    let alarms = line.alarms().await;
    assert_eq!((alarms.len(), alarms[0].why, alarms[0].device, alarms[0].by), (1, Theft::OtherDevice, line.device, thief.device()));
    assert!(line.admissions.codes(&line.home, None, 10, line.now()).await.expect("read")[0].leaked);
}

#[tokio::test]
async fn a_lost_answer_is_given_again_to_the_same_key_until_it_was_used() {
    let line = Line::new().await;
    let code = line.code().await;
    let first = line.exchange(&code, 1).await.expect("admitted");
    for _ in 0..3 {
        line.world.pass(Duration::from_secs(64));
        assert!(same(&line.exchange(&code, 1).await.expect("the same answer"), &first));
    }
    line.sign_in(&first.access, 1).await.expect("signed in");
    assert!(stolen(line.exchange(&code, 1).await, Theft::Replayed));
    assert!(not_good(line.sign_in(&first.access, 1).await), "the admission has ended");
    assert!(not_good(line.refresh(&first.refresh, 1).await));
    assert_eq!((line.admitted().await, line.alarms().await.len()), (0, 1));
}

#[tokio::test]
async fn a_refresh_token_repeated_before_its_result_was_used_gets_the_same_answer() {
    let line = Line::new().await;
    let first = line.exchange(&line.code().await, 1).await.expect("admitted");
    let second = line.refresh(&first.refresh, 1).await.expect("refreshed");
    assert!(!same(&first, &second));
    assert!(same(&line.refresh(&first.refresh, 1).await.expect("the same answer"), &second));
    // The token of the answer before is no use of this one's.
    line.sign_in(&first.access, 1).await.expect("still good");
    assert!(same(&line.refresh(&first.refresh, 1).await.expect("the same answer"), &second));
    let third = line.refresh(&second.refresh, 1).await.expect("used");
    assert!(stolen(line.refresh(&first.refresh, 1).await, Theft::Replayed));
    assert!(not_good(line.sign_in(&third.access, 1).await));
}

#[tokio::test]
async fn a_new_access_token_that_was_used_makes_the_old_refresh_token_worth_nothing() {
    let line = Line::new().await;
    let first = line.exchange(&line.code().await, 1).await.expect("admitted");
    let second = line.refresh(&first.refresh, 1).await.expect("refreshed");
    line.sign_in(&second.access, 1).await.expect("signed in");
    assert!(stolen(line.refresh(&first.refresh, 1).await, Theft::Replayed));
    assert!(not_good(line.refresh(&second.refresh, 1).await));
}

#[tokio::test]
async fn over_another_key_a_used_code_and_a_refresh_token_end_the_family_and_raise_an_alarm() {
    for what in ["code", "present token", "repeated token"] {
        let line = Line::new().await;
        let code = line.code().await;
        let first = line.exchange(&code, 1).await.expect("admitted");
        let result = match what {
            "code" => line.exchange(&code, 2).await,
            "present token" => line.refresh(&first.refresh, 2).await,
            _ => {
                line.refresh(&first.refresh, 1).await.expect("refreshed");
                line.refresh(&first.refresh, 2).await
            }
        };
        assert!(stolen(result, Theft::OtherKey), "{what}");
        assert!(not_good(line.sign_in(&first.access, 1).await) && not_good(line.refresh(&first.refresh, 1).await), "{what}");
        let alarms = line.alarms().await;
        assert_eq!((alarms.len(), alarms[0].why, &alarms[0].key), (1, Theft::OtherKey, &"02".repeat(32)), "{what}");
    }
}

#[tokio::test]
async fn an_access_token_is_worth_nothing_over_another_key_or_by_another_device_or_elsewhere() {
    let line = Line::new().await;
    let tokens = line.exchange(&line.code().await, 1).await.expect("admitted");
    let (organisation, device, hub) = (line.home.organisation, line.device, line.hub);
    for at in [
        line.over(2),
        Presenter::of_key(OrganisationId::from_random([90; 16]), device, hub, 1),
        Presenter::of_key(organisation, DeviceId::from_random([70; 16]), hub, 1),
        Presenter::of_key(organisation, device, HubId::from_random([80; 16]), 1),
    ] {
        assert!(not_good(line.admissions.verify(&tokens.access, &at, line.now()).await), "{at:?}");
    }
    line.sign_in(&tokens.access, 1).await.expect("its own device is not harmed");
    assert!(line.alarms().await.is_empty());
}

#[tokio::test]
async fn a_token_that_is_not_of_our_gateways_is_none_there() {
    let line = Line::new().await;
    let tokens = line.exchange(&line.code().await, 1).await.expect("admitted");
    let keys = line.world.accounts.signing_keys();
    let claims: super::token::Claims = keys.claims("device+jwt", &crate::secret::text(&tokens.access)).expect("ours");
    let sign = |typ: &str, claims: &super::token::Claims| Secret::from(keys.sign(typ, claims).expect("signed"));
    let elsewhere = super::token::Claims { aud: "https://gatehouse.example.com:8443".to_owned(), ..claims.clone() };
    let foreign = super::token::Claims { iss: "https://other.example.com".to_owned(), ..claims.clone() };
    for (what, token) in [
        ("another audience", sign("device+jwt", &elsewhere)),
        ("another issuer", sign("device+jwt", &foreign)),
        ("a program's type", sign("at+jwt", &claims)),
        ("a refresh token", tokens.refresh),
        ("nothing", Secret::from(String::new())),
    ] {
        assert!(not_good(line.sign_in(&token, 1).await), "{what}");
    }
    line.sign_in(&sign("device+jwt", &claims), 1).await.expect("the same words, signed again");
}

#[tokio::test]
async fn an_access_token_ends_with_its_time_its_admission_and_its_organisation() {
    let line = Line::new().await;
    let first = line.exchange(&line.code().await, 1).await.expect("admitted");
    line.world.pass(HOUR * 12 - Duration::from_secs(1));
    line.sign_in(&first.access, 1).await.expect("in time");
    line.world.pass(Duration::from_secs(1));
    assert!(not_good(line.sign_in(&first.access, 1).await));
    let second = line.refresh(&first.refresh, 1).await.expect("refreshed");
    line.world.accounts.suspend(line.home.organisation).await.expect("suspended");
    assert!(matches!(line.sign_in(&second.access, 1).await, Err(AdmissionError::Suspended)));
    assert!(matches!(line.refresh(&second.refresh, 1).await, Err(AdmissionError::Suspended)));
    assert!(matches!(line.refresh(&second.refresh, 2).await, Err(AdmissionError::Suspended)), "nothing happens meanwhile");
    line.world.accounts.resume(line.home.organisation).await.expect("resumed");
    let device = line.sign_in(&second.access, 1).await.expect("it goes on");
    line.admissions.sign_off(&device, line.now()).await.expect("signed off");
    assert!(not_good(line.sign_in(&second.access, 1).await) && not_good(line.refresh(&second.refresh, 1).await));
    assert!(line.alarms().await.is_empty());
}

#[tokio::test]
async fn a_suspended_organisation_makes_no_codes_and_lets_nobody_in() {
    let line = Line::new().await;
    let code = line.code().await;
    line.world.accounts.suspend(line.home.organisation).await.expect("suspended");
    assert!(matches!(line.exchange(&code, 1).await, Err(AdmissionError::Suspended)));
    let refused = line.admissions.issue(line.home.organisation, line.wanted(), line.now()).await;
    assert!(matches!(refused, Err(AdmissionError::Suspended)));
    line.world.accounts.resume(line.home.organisation).await.expect("resumed");
    line.exchange(&code, 1).await.expect("admitted");
}

#[tokio::test]
async fn two_equal_requests_at_one_moment_get_one_answer() {
    let line = Line::new().await;
    let code = line.code().await;
    let (one, two) = tokio::join!(line.exchange(&code, 1), line.exchange(&code, 1));
    let (one, two) = (one.expect("admitted"), two.expect("admitted"));
    assert!(same(&one, &two));
    let (three, four) = tokio::join!(line.refresh(&one.refresh, 1), line.refresh(&one.refresh, 1));
    assert!(same(&three.expect("refreshed"), &four.expect("refreshed")));
    assert_eq!((line.admitted().await, line.alarms().await.len()), (1, 0));
}

#[tokio::test]
async fn a_device_and_a_thief_at_one_moment_leave_nothing_good() {
    let line = Line::new().await;
    let tokens = line.exchange(&line.code().await, 1).await.expect("admitted");
    let (own, foreign) = tokio::join!(line.refresh(&tokens.refresh, 1), line.refresh(&tokens.refresh, 2));
    assert!(foreign.is_err());
    if let Ok(own) = own {
        assert!(not_good(line.sign_in(&own.access, 1).await));
    }
    assert_eq!((line.admitted().await, line.alarms().await.len()), (0, 1));
}

#[tokio::test]
async fn an_answer_that_was_lost_for_long_has_the_same_refresh_token_and_a_new_access_token() {
    let line = Line::new().await;
    let first = line.exchange(&line.code().await, 1).await.expect("admitted");
    let second = line.refresh(&first.refresh, 1).await.expect("refreshed");
    line.world.pass(HOUR * 12 - Duration::from_secs(241));
    assert!(same(&line.refresh(&first.refresh, 1).await.expect("the same"), &second));
    line.world.pass(Duration::from_secs(1));
    let again = line.refresh(&first.refresh, 1).await.expect("renewed");
    assert_eq!((&again.refresh, again.lifetime), (&second.refresh, HOUR * 12));
    assert_ne!(again.access, second.access);
    assert!(same(&line.refresh(&first.refresh, 1).await.expect("the same"), &again));
    line.sign_in(&again.access, 1).await.expect("signed in");
    assert!(stolen(line.refresh(&first.refresh, 1).await, Theft::Replayed));
}

#[tokio::test]
async fn a_clock_that_goes_backwards_makes_no_device_a_thief_and_no_token_endless() {
    let line = Line::new().await;
    let code = line.code().await;
    let first = line.exchange(&code, 1).await.expect("admitted");
    let past = line.now() - DAY * 400;
    let at = line.over(1);
    let again = line.admissions.exchange(None, &code, &at, past).await.expect("the same answer");
    assert!(same(&first, &again));
    assert_eq!(again.lifetime, HOUR * 12, "devices are never told more than the longest");
    let second = line.admissions.refresh(&first.refresh, &at, past).await.expect("refreshed");
    line.admissions.verify(&second.access, &at, past).await.expect("signed in");
    line.refresh(&second.refresh, 1).await.expect("and the admission was not used in the past only");
    assert!(line.alarms().await.is_empty());
}

#[tokio::test]
async fn a_device_that_was_away_too_long_is_let_in_anew() {
    let line = Line::new().await;
    let first = line.exchange(&line.code().await, 1).await.expect("admitted");
    line.pass_days(179).await;
    let second = line.refresh(&first.refresh, 1).await.expect("refreshed");
    line.pass_days(180).await;
    assert!(not_good(line.refresh(&second.refresh, 2).await), "what is over cannot be stolen");
    assert!(not_good(line.refresh(&second.refresh, 1).await));
    assert_eq!(line.admitted().await, 0);
    line.exchange(&line.code().await, 2).await.expect("admitted");
}

#[tokio::test]
async fn a_device_that_is_let_in_anew_has_one_admission() {
    let line = Line::new().await;
    let first = line.exchange(&line.code().await, 1).await.expect("admitted");
    let second = line.exchange(&line.code().await, 2).await.expect("admitted with another key");
    assert!(not_good(line.sign_in(&first.access, 1).await) && not_good(line.refresh(&first.refresh, 1).await));
    line.sign_in(&second.access, 2).await.expect("signed in");
    assert_eq!((line.admitted().await, line.alarms().await.len()), (1, 0));
}

#[tokio::test]
async fn a_revoked_admission_and_a_withdrawn_code_are_worth_nothing() {
    let line = Line::new().await;
    let tokens = line.exchange(&line.code().await, 1).await.expect("admitted");
    let id = line.admissions.admissions(&line.home, None, 10, line.now()).await.expect("read")[0].id.clone();
    let ben = add(&line.world.accounts, "ben@example.com").await;
    let foreign = line.world.accounts.organisations_of(ben.id).await.expect("read")[0].id;
    let foreigner = Member::of(ben.id, foreign, Role::Owner);
    assert!(matches!(line.admissions.revoke(&foreigner, &id, line.now()).await, Err(AdmissionError::NoSuchAdmission)));
    line.admissions.revoke(&line.home, &id, line.now()).await.expect("revoked");
    assert!(not_good(line.sign_in(&tokens.access, 1).await) && not_good(line.refresh(&tokens.refresh, 1).await));
    assert!(matches!(line.admissions.revoke(&line.home, &id, line.now()).await, Err(AdmissionError::NoSuchAdmission)));
    let (info, code) = line.admissions.issue(line.home.organisation, line.wanted(), line.now()).await.expect("issued");
    assert!(matches!(line.admissions.withdraw(&foreigner, &info.id, line.now()).await, Err(AdmissionError::NoSuchCode)));
    line.admissions.withdraw(&line.home, &info.id, line.now()).await.expect("withdrawn");
    assert!(not_good(line.exchange(&code, 1).await));
    assert!(matches!(line.admissions.withdraw(&line.home, "", line.now()).await, Err(AdmissionError::NoSuchCode)));
}

#[tokio::test]
async fn an_organisation_has_no_more_codes_and_devices_than_the_settings_say() {
    let world = World::with(|config| (config.devices.codes, config.devices.admissions) = (2, 1)).await;
    let line = Line::of(world).await;
    let (one, two) = (line.code().await, line.code().await);
    let refused = line.admissions.issue(line.home.organisation, line.wanted(), line.now()).await;
    assert!(matches!(refused, Err(AdmissionError::TooManyCodes { most: 2 })));
    line.exchange(&one, 1).await.expect("admitted");
    line.exchange(&two, 1).await.expect("in place of its first admission");
    let other = NewCode { device: DeviceId::from_random([70; 16]), ..line.wanted() };
    let (_, code) = line.admissions.issue(line.home.organisation, other, line.now()).await.expect("used codes do not count");
    let second = Presenter::of_key(line.home.organisation, other.device, line.hub, 2);
    let refused = line.admissions.exchange(None, &code, &second, line.now()).await;
    assert!(matches!(refused, Err(AdmissionError::TooManyDevices { most: 1 })));
    let id = line.admissions.admissions(&line.home, None, 10, line.now()).await.expect("read")[0].id.clone();
    line.admissions.revoke(&line.home, &id, line.now()).await.expect("revoked");
    line.admissions.exchange(None, &code, &second, line.now()).await.expect("there is a place again");
}

#[tokio::test]
async fn what_is_over_is_forgotten_and_what_is_not_stays() {
    let line = Line::new().await;
    let used = line.code().await;
    let first = line.exchange(&used, 1).await.expect("admitted");
    line.code().await;
    assert_eq!(line.admissions.forget_ended(line.now()).await.expect("forgotten"), 0);
    line.world.pass(HOUR);
    assert_eq!(line.admissions.forget_ended(line.now()).await.expect("forgotten"), 1, "the code that nobody used");
    line.world.pass(DAY);
    assert_eq!(line.admissions.forget_ended(line.now()).await.expect("forgotten"), 1, "the code that was used");
    assert!(not_good(line.exchange(&used, 1).await));
    line.refresh(&first.refresh, 1).await.expect("the admission stays");
    line.pass_days(180).await;
    // One lap of the sweep ends where the next one begins.
    let laps = line.admissions.forget_ended(line.now()).await.expect("forgotten")
        + line.admissions.forget_ended(line.now()).await.expect("forgotten");
    assert_eq!((laps, line.admitted().await), (1, 0));
    line.exchange(&line.code().await, 1).await.expect("admitted");
    let second = line.exchange(&line.code().await, 1).await.expect("admitted");
    assert!(stolen(line.refresh(&second.refresh, 2).await, Theft::OtherKey));
    line.world.pass(DAY * 90 - Duration::from_millis(1));
    line.admissions.forget_ended(line.now()).await.expect("forgotten");
    assert_eq!(line.alarms().await.len(), 1);
    line.world.pass(Duration::from_millis(1));
    line.admissions.forget_ended(line.now()).await.expect("forgotten");
    assert!(line.alarms().await.is_empty());
}

#[tokio::test]
async fn after_a_restore_nobody_is_a_thief_and_everybody_is_let_in_anew() {
    let line = Line::new().await;
    let code = line.code().await;
    let tokens = line.exchange(&line.code().await, 1).await.expect("admitted");
    line.admissions.void().await.expect("voided");
    assert!(not_good(line.exchange(&code, 1).await));
    assert!(not_good(line.refresh(&tokens.refresh, 1).await) && not_good(line.sign_in(&tokens.access, 1).await));
    assert!(line.alarms().await.is_empty());
    line.exchange(&line.code().await, 1).await.expect("admitted");
}

#[tokio::test]
async fn what_happens_is_in_the_organisations_stream() {
    let line = Line::new().await;
    let code = line.code().await;
    line.exchange(&code, 1).await.expect("admitted");
    assert!(stolen(line.exchange(&code, 2).await, Theft::OtherKey));
    let events = line.world.accounts.events.read(&Admissions::stream(line.home.organisation), gatehouse_store::Position(1), 100).await;
    let told: Vec<super::Fact> = events.expect("read").iter().map(|event| event.decode().expect("a fact")).collect();
    assert!(
        matches!(
            told.as_slice(),
            [super::Fact::CodeMade { .. }, super::Fact::Admitted { .. }, super::Fact::TokenStolen { why: Theft::OtherKey, .. }]
        ),
        "{told:?}"
    );
    let everybodys = line.world.accounts.events.read(&crate::STREAM.parse().expect("a stream"), gatehouse_store::Position(1), 100).await;
    assert!(everybodys.expect("read").iter().all(|event| event.decode::<Fact>().is_ok()), "and not in everybody's");
}

/// Somebody elsewhere who vouches for whatever is called `good`.
#[derive(Debug)]
struct Elsewhere(OrganisationId);

impl authority::DeviceAuthority for Elsewhere {
    fn judge<'a>(&'a self, shown: &'a Secret, now: UnixTime) -> authority::Judgement<'a> {
        Box::pin(async move {
            match shown.expose() {
                b"away" => Err(authority::Away("it is night there".into())),
                b"good" | b"good, written differently" => Ok(Some(Entitlement {
                    once: "1".to_owned(),
                    organisation: self.0,
                    device: None,
                    hub: None,
                    group: None,
                    ends: now + HOUR,
                })),
                _ => Ok(None),
            }
        })
    }
}

#[tokio::test]
async fn somebody_elsewhere_vouches_under_their_own_name_and_once() {
    let line = Line::new().await;
    line.world.accounts.let_vouch("elsewhere", Arc::new(Elsewhere(line.home.organisation)));
    line.world.accounts.let_vouch(OWN_PROVIDER, Arc::new(Elsewhere(line.home.organisation)));
    let at = line.over(1);
    let ask = async |provider: Option<&str>, token: &str| {
        line.admissions.exchange(provider, &Secret::from(token.to_owned()), &at, line.now()).await
    };
    assert!(matches!(ask(Some("nobody"), "good").await, Err(AdmissionError::Provider)));
    assert!(not_good(ask(None, "good").await) && not_good(ask(Some(OWN_PROVIDER), "good").await), "our own name stays ours");
    assert!(not_good(ask(Some("elsewhere"), "bad").await));
    assert!(matches!(ask(Some("elsewhere"), "away").await, Err(AdmissionError::Away(_))));
    let code = crate::secret::text(&line.code().await);
    assert!(not_good(ask(Some("elsewhere"), &code).await), "our codes are none of theirs");
    let tokens = ask(Some("elsewhere"), "good").await.expect("admitted");
    assert!(same(&ask(Some("elsewhere"), "good").await.expect("the same answer"), &tokens));
    line.sign_in(&tokens.access, 1).await.expect("signed in");
    assert!(stolen(ask(Some("elsewhere"), "good, written differently").await, Theft::Replayed));
    assert_eq!(line.alarms().await.len(), 1);
}
