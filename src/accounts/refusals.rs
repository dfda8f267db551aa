//! What the operations of accounts refuse, for the document of the API: each list belongs to an error type, without what is
//! our own fault. The tests at the door find a code that is answered and not listed.

use gatehouse_base::Kind::{Conflict, Exhausted, Forbidden, Invalid, NotFound, Unauthenticated};
use gatehouse_http::Refusal;

/// What finding out who is calling refuses, on any path: `BadCredentials` and `TokenRefused`.
pub const AUTHENTICATION: &[Refusal] = &[
    Refusal::new(Unauthenticated, "unknown-credential"),
    Refusal::new(Unauthenticated, "bad-token"),
    Refusal::new(Forbidden, "foreign-origin"),
    Refusal::new(Forbidden, "token-source"),
];

/// `Denied`, and a session that has ended.
pub(crate) const DENIED: &[Refusal] = &[
    Refusal::new(Unauthenticated, "unauthenticated"),
    Refusal::new(Unauthenticated, "session-over"),
    Refusal::new(Forbidden, "forbidden"),
    Refusal::new(Forbidden, "address-not-confirmed"),
];

/// The same and `StepUpNeeded`.
pub(crate) const STEPPED_UP: &[Refusal] = &[
    Refusal::new(Unauthenticated, "unauthenticated"),
    Refusal::new(Unauthenticated, "session-over"),
    Refusal::new(Forbidden, "forbidden"),
    Refusal::new(Forbidden, "address-not-confirmed"),
    Refusal::new(Forbidden, "step-up-needed"),
];

/// `StepUpNeeded`.
pub(crate) const STEP_UP_NEEDED: &[Refusal] = &[Refusal::new(Forbidden, "step-up-needed")];

/// `SignInError` where somebody steps up.
pub(crate) const STEP_UP: &[Refusal] = &[
    Refusal::new(Unauthenticated, "wrong-password"),
    Refusal::new(Unauthenticated, "wrong-code"),
    Refusal::new(Unauthenticated, "second-factor-needed"),
    Refusal::new(Unauthenticated, "passkey-refused"),
    Refusal::new(Unauthenticated, "challenge-over"),
    Refusal::new(Exhausted, "too-many-attempts"),
    Refusal::new(Exhausted, "sign-in-busy"),
    Refusal::new(Conflict, "no-passkeys"),
];

/// `DENIED` and `NotInOrganisation`.
pub(crate) const MEMBER: &[Refusal] = &[
    Refusal::new(Unauthenticated, "unauthenticated"),
    Refusal::new(Unauthenticated, "session-over"),
    Refusal::new(Forbidden, "forbidden"),
    Refusal::new(Invalid, "organisation-not-named"),
    Refusal::new(Invalid, "organisation-id"),
    Refusal::new(Forbidden, "organisation-not-yours"),
    Refusal::new(Forbidden, "organisation-suspended"),
    Refusal::new(Forbidden, "address-not-confirmed"),
];

/// `SignInError` with a password.
pub(crate) const PASSWORD: &[Refusal] = &[
    Refusal::new(Unauthenticated, "wrong-password"),
    Refusal::new(Exhausted, "too-many-attempts"),
    Refusal::new(Exhausted, "sign-in-busy"),
];

/// `MEMBER` and `StepUpNeeded`.
pub(crate) const MEMBER_STEPPED_UP: &[Refusal] = &[
    Refusal::new(Unauthenticated, "unauthenticated"),
    Refusal::new(Unauthenticated, "session-over"),
    Refusal::new(Forbidden, "forbidden"),
    Refusal::new(Invalid, "organisation-not-named"),
    Refusal::new(Invalid, "organisation-id"),
    Refusal::new(Forbidden, "organisation-not-yours"),
    Refusal::new(Forbidden, "organisation-suspended"),
    Refusal::new(Forbidden, "address-not-confirmed"),
    Refusal::new(Forbidden, "step-up-needed"),
];

/// `PasswordRefused`.
pub(crate) const NEW_PASSWORD: &[Refusal] =
    &[Refusal::new(Invalid, "password-length"), Refusal::new(Invalid, "password-well-known"), Refusal::new(Invalid, "password-breached")];

/// `SignInError` with a challenge.
pub(crate) const CHALLENGE: &[Refusal] = &[
    Refusal::new(Unauthenticated, "wrong-code"),
    Refusal::new(Unauthenticated, "challenge-over"),
    Refusal::new(Exhausted, "too-many-attempts"),
];

/// `SignInError` with a passkey.
pub(crate) const PASSKEY_SIGN_IN: &[Refusal] = &[
    Refusal::new(Unauthenticated, "passkey-refused"),
    Refusal::new(Exhausted, "too-many-attempts"),
    Refusal::new(Conflict, "no-passkeys"),
];

/// `SignInError` where a passkey is to be asked for.
pub(crate) const PASSKEY_ASKING: &[Refusal] = &[Refusal::new(Conflict, "no-passkeys")];

/// `PasskeyError` where one is to be added.
pub(crate) const PASSKEY_OPTIONS: &[Refusal] =
    &[Refusal::new(Conflict, "no-external-address"), Refusal::new(Conflict, "too-many-passkeys")];

/// `PasskeyError` where one is added.
pub(crate) const PASSKEY: &[Refusal] = &[
    Refusal::new(Conflict, "no-external-address"),
    Refusal::new(Conflict, "too-many-passkeys"),
    Refusal::new(Conflict, "passkey-known"),
    Refusal::new(Invalid, "name"),
    Refusal::new(Invalid, "passkey-refused"),
];

/// `PasskeyError` where one is named.
pub(crate) const NAMED_PASSKEY: &[Refusal] = &[Refusal::new(NotFound, "no-such-passkey"), Refusal::new(Invalid, "name")];

/// `PasskeyError` where one is removed.
pub(crate) const PASSKEY_REMOVAL: &[Refusal] = &[Refusal::new(NotFound, "no-such-passkey"), Refusal::new(Conflict, "last-second-factor")];

/// `ProofNeeded`.
pub(crate) const PROOF: &[Refusal] = &[Refusal::new(Invalid, "proof-needed")];

/// `NamedError`.
pub(crate) const SESSION: &[Refusal] = &[Refusal::new(NotFound, "no-such-session")];

/// `SecondFactorError`.
pub(crate) const SECOND_FACTOR: &[Refusal] = &[
    Refusal::new(Conflict, "second-factor-on"),
    Refusal::new(Conflict, "second-factor-off"),
    Refusal::new(Conflict, "not-enrolling"),
    Refusal::new(Invalid, "wrong-code"),
    Refusal::new(Exhausted, "too-many-attempts"),
];

/// `Gone`.
pub(crate) const GONE: &[Refusal] = &[Refusal::new(Unauthenticated, "account-gone")];

/// `TokenError` where one is made or changed.
pub(crate) const TOKEN: &[Refusal] = &[
    Refusal::new(Invalid, "name"),
    Refusal::new(Invalid, "token-scopes"),
    Refusal::new(Invalid, "token-expired"),
    Refusal::new(Forbidden, "token-without-person"),
    Refusal::new(Conflict, "too-many-tokens"),
];

/// `TokenError` where one is named.
pub(crate) const NAMED_TOKEN: &[Refusal] = &[Refusal::new(NotFound, "no-such-token")];

/// `MemberError` where an organisation is made.
pub(crate) const ORGANISATION: &[Refusal] = &[Refusal::new(Invalid, "name"), Refusal::new(Conflict, "too-many-organisations")];

/// `MemberError` where a member is named.
pub(crate) const NAMED_MEMBER: &[Refusal] = &[
    Refusal::new(NotFound, "no-such-member"),
    Refusal::new(Forbidden, "role-not-yours-to-give"),
    Refusal::new(Conflict, "last-owner"),
    Refusal::new(Conflict, "too-many-organisations"),
];

/// `ClientError` where one is made.
pub(crate) const CLIENT: &[Refusal] = &[
    Refusal::new(Invalid, "name"),
    Refusal::new(Invalid, "token-scopes"),
    Refusal::new(Forbidden, "role-not-yours-to-give"),
    Refusal::new(Forbidden, "scope-not-yours-to-give"),
    Refusal::new(Invalid, "client-shape"),
    Refusal::new(Conflict, "too-many-clients"),
];

/// `NamedError`.
pub(crate) const CONSENT: &[Refusal] = &[Refusal::new(NotFound, "no-such-consent")];

/// `NoForm`.
pub(crate) const FORM: &[Refusal] = &[Refusal::new(Invalid, "bad-form")];

/// `ClientError` where one is named.
pub(crate) const NAMED_CLIENT: &[Refusal] = &[Refusal::new(NotFound, "no-such-client"), Refusal::new(Forbidden, "role-not-yours-to-give")];

/// `AccountError` where somebody registers.
pub(crate) const REGISTRATION: &[Refusal] = &[
    Refusal::new(Forbidden, "registration-off"),
    Refusal::new(Exhausted, "registration-full"),
    Refusal::new(Invalid, "address"),
    Refusal::new(Invalid, "name"),
    Refusal::new(Exhausted, "too-many-attempts"),
    Refusal::new(Exhausted, "sign-in-busy"),
];

/// `MailError`.
pub(crate) const MAIL: &[Refusal] =
    &[Refusal::new(Conflict, "no-mail"), Refusal::new(Conflict, "no-external-address"), Refusal::new(Exhausted, "too-many-letters")];

/// `AccountError` where a link is shown.
pub(crate) const LINK: &[Refusal] = &[Refusal::new(NotFound, "link-over"), Refusal::new(Exhausted, "sign-in-busy")];

/// `AccountError` where a letter asks for a confirmation.
pub(crate) const CONFIRMATION: &[Refusal] = &[Refusal::new(Conflict, "address-confirmed")];

/// `AccountError` where a letter is asked for.
pub(crate) const ASKING: &[Refusal] = &[Refusal::new(Invalid, "address"), Refusal::new(Exhausted, "too-many-attempts")];

/// `AccountError` where an address changes.
pub(crate) const ADDRESS: &[Refusal] =
    &[Refusal::new(Invalid, "address"), Refusal::new(Invalid, "same-address"), Refusal::new(Conflict, "address-unusable")];

/// `AccountError` where somebody leaves.
pub(crate) const LEAVING: &[Refusal] = &[Refusal::new(Conflict, "last-owner")];

/// `InvitationError` where one is made.
pub(crate) const INVITATION: &[Refusal] = &[
    Refusal::new(Forbidden, "role-not-yours-to-give"),
    Refusal::new(Conflict, "too-many-invitations"),
    Refusal::new(Exhausted, "too-many-invitations-today"),
    Refusal::new(Conflict, "member-already"),
];

/// `InvitationError` where one is named.
pub(crate) const NAMED_INVITATION: &[Refusal] =
    &[Refusal::new(NotFound, "no-such-invitation"), Refusal::new(Forbidden, "role-not-yours-to-give")];

/// `InvitationError` where the link of one is shown.
pub(crate) const OFFER: &[Refusal] = &[Refusal::new(NotFound, "invitation-over")];

/// `InvitationError` where one is accepted.
pub(crate) const ACCEPTING: &[Refusal] = &[
    Refusal::new(Forbidden, "invitation-for-another"),
    Refusal::new(Conflict, "member-already"),
    Refusal::new(Conflict, "sign-in-first"),
    Refusal::new(Conflict, "too-many-members"),
    Refusal::new(Invalid, "name"),
    Refusal::new(Exhausted, "sign-in-busy"),
];

/// `NamedError`.
pub(crate) const SUSPENSION: &[Refusal] = &[Refusal::new(NotFound, "no-such-organisation")];

/// `DeedError` of what concerns the authority.
pub(crate) const AUTHORITY: &[Refusal] = &[Refusal::new(Conflict, "no-authority")];

/// `DeedError` with a note.
pub(crate) const NOTE: &[Refusal] = &[Refusal::new(Invalid, "note")];

/// `DeedError` where something is to wait.
pub(crate) const TOO_MANY_REQUESTS: &[Refusal] = &[Refusal::new(Conflict, "too-many-requests")];

/// `DeedError` where a request is named.
pub(crate) const NAMED_REQUEST: &[Refusal] = &[Refusal::new(NotFound, "no-such-request")];

/// `DeedError` where one is approved.
pub(crate) const SECOND_PERSON: &[Refusal] = &[Refusal::new(NotFound, "no-such-request"), Refusal::new(Forbidden, "second-person-needed")];

/// `OutboxError` and `MailError` where a letter is named.
pub(crate) const NAMED_LETTER: &[Refusal] = &[Refusal::new(NotFound, "no-such-letter"), Refusal::new(Conflict, "no-mail")];

/// `AdmissionError` where a code is made.
pub(crate) const ONBOARDING: &[Refusal] = &[Refusal::new(Exhausted, "too-many-onboarding-codes")];

/// `AdmissionError` where a code is named.
pub(crate) const NAMED_ONBOARDING: &[Refusal] = &[Refusal::new(NotFound, "no-such-onboarding-code")];

/// `AdmissionError` where an admission is named.
pub(crate) const NAMED_ADMISSION: &[Refusal] = &[Refusal::new(NotFound, "no-such-admission")];
/// `LinkError`.
pub(crate) const LINKED: &[Refusal] = &[Refusal::new(NotFound, "no-such-link")];

/// `ProviderError` where one is configured.
pub(crate) const PROVIDER: &[Refusal] = &[
    Refusal::new(Invalid, "name"),
    Refusal::new(Invalid, "provider-shape"),
    Refusal::new(Invalid, "provider-not-usable"),
    Refusal::new(Forbidden, "role-not-yours-to-give"),
    Refusal::new(Conflict, "too-many-providers"),
    Refusal::new(Conflict, "issuer-taken"),
    Refusal::new(Conflict, "no-outgoing"),
];

/// `ProviderError` where one is named.
pub(crate) const NAMED_PROVIDER: &[Refusal] = &[Refusal::new(NotFound, "no-such-provider")];

/// `ProviderError` where one is asked.
pub(crate) const TESTED_PROVIDER: &[Refusal] = &[Refusal::new(Invalid, "provider-not-usable"), Refusal::new(Conflict, "no-outgoing")];

/// `ProviderError` where one is trusted.
pub(crate) const TRUST: &[Refusal] = &[Refusal::new(Invalid, "domains")];

/// `ProviderError` where an owner is mapped.
pub(crate) const OWNER: &[Refusal] = &[
    Refusal::new(Invalid, "owner"),
    Refusal::new(Conflict, "owner-taken"),
    Refusal::new(Conflict, "too-many-owners"),
    Refusal::new(Conflict, "provider-without-devices"),
    Refusal::new(NotFound, "no-such-organisation"),
];

/// `ProviderError` where the mapping of an owner is taken back.
pub(crate) const NAMED_OWNER: &[Refusal] = &[Refusal::new(NotFound, "no-such-owner")];
