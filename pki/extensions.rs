//! The extensions of a certificate (RFC 5280 §4.2), each read once and strictly.
//!
//! A known extension must have its exact form, whether critical or not. An unknown one is skipped when it is not
//! critical; when it is, the certificate can be looked at but no chain with it is accepted.

use crate::{
    certificate::CertificateError,
    der::{self, Reader, tag},
    general_name::{GeneralName, GeneralNameError, Subtree},
    oid::{self, extension},
    rule::Rule,
};

/// What a key may be used for (RFC 5280 §4.2.1.3), as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyUsage(u16);

impl KeyUsage {
    /// Signing what is neither a certificate nor a revocation list, such as a TLS handshake.
    pub const DIGITAL_SIGNATURE: Self = Self(1);
    /// Signing content that shall not be denied later.
    pub const NON_REPUDIATION: Self = Self(1 << 1);
    /// Encrypting keys.
    pub const KEY_ENCIPHERMENT: Self = Self(1 << 2);
    /// Encrypting data.
    pub const DATA_ENCIPHERMENT: Self = Self(1 << 3);
    /// Agreeing on keys.
    pub const KEY_AGREEMENT: Self = Self(1 << 4);
    /// Signing certificates.
    pub const KEY_CERT_SIGN: Self = Self(1 << 5);
    /// Signing revocation lists.
    pub const CRL_SIGN: Self = Self(1 << 6);

    /// Whether all of these uses are allowed.
    pub const fn contains(self, uses: Self) -> bool {
        self.0 & uses.0 == uses.0
    }
}

impl std::ops::BitOr for KeyUsage {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A purpose for which a certificate may be used (RFC 5280 §4.2.1.12).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ExtendedKeyUsage {
    /// TLS client authentication.
    ClientAuth,
    /// TLS server authentication.
    ServerAuth,
    /// Signing messages.
    EmailProtection,
    /// The identity of an OCF device, 1.3.6.1.4.1.44924.1.6.
    OcfIdentity,
    /// Any purpose.
    Any,
    /// Another one, as the content of its object identifier.
    Other(Box<[u8]>),
}

/// Where an issuer says that its revocation lists are (RFC 5280 §4.2.1.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DistributionPoint {
    /// The DER of each general name.
    pub(crate) names: Vec<Box<[u8]>>,
    pub(crate) uris: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthorityKeyId {
    pub(crate) key_id: Option<Box<[u8]>>,
    /// The issuer of the issuer's certificate, and that certificate's serial number.
    pub(crate) certificate: Option<(Vec<GeneralName>, Box<[u8]>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameConstraints {
    pub(crate) permitted: Vec<Subtree>,
    pub(crate) excluded: Vec<Subtree>,
}

/// A policy of the issuer's domain that is worth one of the subject's, as the content of their object identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyMapping {
    pub(crate) issuers: Box<[u8]>,
    pub(crate) subjects: Box<[u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PolicyConstraints {
    pub(crate) require_explicit: Option<u32>,
    pub(crate) inhibit_mapping: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BasicConstraints {
    pub(crate) ca: bool,
    pub(crate) path_length: Option<u32>,
    pub(crate) critical: bool,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    pub(crate) subject_key_id: Option<Box<[u8]>>,
    pub(crate) authority_key_id: Option<AuthorityKeyId>,
    pub(crate) key_usage: Option<KeyUsage>,
    pub(crate) basic_constraints: Option<BasicConstraints>,
    pub(crate) extended_key_usages: Option<Vec<ExtendedKeyUsage>>,
    pub(crate) alternative_names: Vec<GeneralName>,
    pub(crate) alternative_names_critical: bool,
    pub(crate) name_constraints: Option<NameConstraints>,
    pub(crate) distribution_points: Vec<DistributionPoint>,
    /// Content of the policies' object identifiers.
    pub(crate) policies: Vec<Box<[u8]>>,
    pub(crate) policy_mappings: Vec<PolicyMapping>,
    pub(crate) policy_constraints: Option<PolicyConstraints>,
    pub(crate) inhibit_any_policy: Option<u32>,
    /// Whether there is a critical extension that nobody here knows.
    pub(crate) unknown_critical: bool,
}

/// One extension before anybody looked into it.
pub(crate) struct RawExtension<'a> {
    pub(crate) oid: &'a [u8],
    pub(crate) critical: bool,
    pub(crate) value: &'a [u8],
}

impl Extensions {
    /// Reads the content of the `Extensions` SEQUENCE of a certificate.
    pub(crate) fn read(list: Reader<'_>) -> Result<Self, CertificateError> {
        let mut found = Self::default();
        for extension in raw_extensions(list)? {
            found.take(&extension)?;
        }
        Ok(found)
    }

    fn take(&mut self, extension: &RawExtension<'_>) -> Result<(), CertificateError> {
        let RawExtension { oid, critical, value } = *extension;
        match oid {
            extension::SUBJECT_KEY_ID => {
                demand(!critical, Rule::Criticality, "the subject key identifier is critical (RFC 5280 §4.2.1.2)")?;
                self.subject_key_id = Some(read_subject_key_id(value)?);
            }
            extension::AUTHORITY_KEY_ID => {
                demand(!critical, Rule::Criticality, "the authority key identifier is critical (RFC 5280 §4.2.1.1)")?;
                self.authority_key_id = Some(read_authority_key_id(value)?);
            }
            extension::KEY_USAGE => self.key_usage = Some(read_key_usage(value)?),
            extension::BASIC_CONSTRAINTS => self.basic_constraints = Some(read_basic_constraints(value, critical)?),
            extension::EXTENDED_KEY_USAGE => self.extended_key_usages = Some(read_extended_key_usages(value)?),
            extension::SUBJECT_ALTERNATIVE_NAME => {
                self.alternative_names = read_alternative_names(value)?;
                self.alternative_names_critical = critical;
            }
            extension::NAME_CONSTRAINTS => {
                demand(critical, Rule::Criticality, "name constraints are not critical (RFC 5280 §4.2.1.10)")?;
                self.name_constraints = Some(read_name_constraints(value)?);
            }
            extension::CRL_DISTRIBUTION_POINTS => self.distribution_points = read_distribution_points(value)?,
            extension::CERTIFICATE_POLICIES => {
                let mut knows_qualifiers = true;
                self.policies = read_policies(value, &mut knows_qualifiers)?;
                // RFC 5280 §4.2.1.4: who does not know a qualifier must refuse a critical extension with it.
                self.unknown_critical |= critical && !knows_qualifiers;
            }
            extension::POLICY_MAPPINGS => self.policy_mappings = read_policy_mappings(value)?,
            extension::POLICY_CONSTRAINTS => {
                demand(critical, Rule::Criticality, "policy constraints are not critical (RFC 5280 §4.2.1.11)")?;
                self.policy_constraints = Some(read_policy_constraints(value)?);
            }
            extension::INHIBIT_ANY_POLICY => {
                demand(critical, Rule::Criticality, "inhibit any-policy is not critical (RFC 5280 §4.2.1.14)")?;
                self.inhibit_any_policy = Some(read_inhibit_any_policy(value)?);
            }
            // Nothing is done with these, so a critical one is as good as unknown; their form is held to the RFC.
            extension::AUTHORITY_INFORMATION | extension::SUBJECT_INFORMATION => {
                check_information_access(value)?;
                self.unknown_critical |= critical;
            }
            extension::ISSUER_ALTERNATIVE_NAME => {
                read_alternative_names(value)?;
                self.unknown_critical |= critical;
            }
            extension::FRESHEST_LIST => {
                read_distribution_points(value)?;
                self.unknown_critical |= critical;
            }
            _ => self.unknown_critical |= critical,
        }
        Ok(())
    }
}

/// Splits `Extensions` into its parts and refuses a second one of a kind.
pub(crate) fn raw_extensions(mut list: Reader<'_>) -> Result<Vec<RawExtension<'_>>, CertificateError> {
    demand(!list.is_empty(), Rule::Extension, "the list of extensions is empty")?;
    let mut found: Vec<RawExtension<'_>> = Vec::with_capacity(10);
    while !list.is_empty() {
        let mut extension = list.nested(tag::SEQUENCE)?;
        let oid = extension.oid()?;
        let critical = extension.default_false()?;
        let value = extension.expect(tag::OCTET_STRING)?.content;
        extension.finish()?;
        demand(found.len() < MAX_EXTENSIONS, Rule::Extension, "there are more extensions than are read")?;
        demand(found.iter().all(|known| known.oid != oid), Rule::DuplicateExtension, "an extension is there twice")?;
        found.push(RawExtension { oid, critical, value });
    }
    Ok(found)
}

fn read_subject_key_id(value: &[u8]) -> Result<Box<[u8]>, CertificateError> {
    let mut reader = open(value)?;
    let id = reader.expect(tag::OCTET_STRING)?.content;
    demand(!id.is_empty(), Rule::Extension, "the subject key identifier is empty")?;
    Ok(id.into())
}

pub(crate) fn read_authority_key_id(value: &[u8]) -> Result<AuthorityKeyId, CertificateError> {
    let mut fields = open(value)?.nested(tag::SEQUENCE)?;
    let key_id = fields.optional(tag::context(0))?.map(|element| element.content.into());
    let issuer = fields.optional(tag::context_constructed(1))?;
    let serial = fields.optional(tag::context(2))?;
    fields.finish()?;
    let certificate = match (issuer, serial) {
        (None, None) => None,
        (Some(issuer), Some(serial)) => {
            let names = GeneralName::read_all(Reader::new(issuer.content)).map_err(|error| name_error(error, Rule::Extension))?;
            Some((names, serial.content.into()))
        }
        _ => return refuse(Rule::Extension, "the authority key identifier has one of issuer and serial number without the other"),
    };
    Ok(AuthorityKeyId { key_id, certificate })
}

fn read_key_usage(value: &[u8]) -> Result<KeyUsage, CertificateError> {
    let bits = der::named_bits(open(value)?.expect(tag::BIT_STRING)?.content)?;
    demand(bits != 0, Rule::Extension, "the key usage allows nothing (RFC 5280 §4.2.1.3)")?;
    demand(bits < 1 << 9, Rule::Extension, "the key usage has bits that do not exist")?;
    Ok(KeyUsage(bits))
}

fn read_basic_constraints(value: &[u8], critical: bool) -> Result<BasicConstraints, CertificateError> {
    let mut fields = open(value)?.nested(tag::SEQUENCE)?;
    let ca = fields.default_false()?;
    let path_length = fields.optional(tag::INTEGER)?.map(|element| der::small(element.content)).transpose()?;
    fields.finish()?;
    demand(ca || path_length.is_none(), Rule::BasicConstraints, "there is a path length in a certificate that is no CA's")?;
    Ok(BasicConstraints { ca, path_length, critical })
}

fn read_extended_key_usages(value: &[u8]) -> Result<Vec<ExtendedKeyUsage>, CertificateError> {
    let mut list = open(value)?.nested(tag::SEQUENCE)?;
    demand(!list.is_empty(), Rule::Extension, "the list of extended key usages is empty")?;
    let mut usages = Vec::with_capacity(3);
    while !list.is_empty() {
        usages.push(match list.oid()? {
            oid::usage::CLIENT_AUTH => ExtendedKeyUsage::ClientAuth,
            oid::usage::SERVER_AUTH => ExtendedKeyUsage::ServerAuth,
            oid::usage::EMAIL_PROTECTION => ExtendedKeyUsage::EmailProtection,
            oid::usage::OCF_IDENTITY => ExtendedKeyUsage::OcfIdentity,
            oid::usage::ANY => ExtendedKeyUsage::Any,
            other => ExtendedKeyUsage::Other(other.into()),
        });
    }
    Ok(usages)
}

fn read_alternative_names(value: &[u8]) -> Result<Vec<GeneralName>, CertificateError> {
    GeneralName::read_all(open(value)?.nested(tag::SEQUENCE)?).map_err(|error| name_error(error, Rule::AlternativeName))
}

fn read_name_constraints(value: &[u8]) -> Result<NameConstraints, CertificateError> {
    let mut fields = open(value)?.nested(tag::SEQUENCE)?;
    let permitted = fields.optional(tag::context_constructed(0))?;
    let excluded = fields.optional(tag::context_constructed(1))?;
    fields.finish()?;
    demand(permitted.is_some() || excluded.is_some(), Rule::NameConstraintForm, "name constraints are empty")?;
    let read = |list: Option<der::Element<'_>>| list.map_or(Ok(Vec::new()), |list| read_subtrees(Reader::new(list.content)));
    Ok(NameConstraints { permitted: read(permitted)?, excluded: read(excluded)? })
}

fn read_subtrees(mut list: Reader<'_>) -> Result<Vec<Subtree>, CertificateError> {
    demand(!list.is_empty(), Rule::NameConstraintForm, "a list of subtrees is empty")?;
    let mut subtrees = Vec::new();
    while !list.is_empty() {
        let mut subtree = list.nested(tag::SEQUENCE)?;
        subtrees.push(Subtree::read(subtree.element()?).map_err(|error| name_error(error, Rule::NameConstraintForm))?);
        // RFC 5280 §4.2.1.10: minimum is 0, so left out, and there is no maximum.
        demand(subtree.is_empty(), Rule::NameConstraintForm, "a subtree has a minimum or a maximum")?;
    }
    Ok(subtrees)
}

fn read_distribution_points(value: &[u8]) -> Result<Vec<DistributionPoint>, CertificateError> {
    let mut list = open(value)?.nested(tag::SEQUENCE)?;
    demand(!list.is_empty(), Rule::Extension, "the list of distribution points is empty")?;
    let mut points = Vec::with_capacity(1);
    while !list.is_empty() {
        let mut fields = list.nested(tag::SEQUENCE)?;
        let name = fields.optional(tag::context_constructed(0))?;
        let reasons = fields.optional(tag::context(1))?;
        let crl_issuer = fields.optional(tag::context_constructed(2))?;
        fields.finish()?;
        demand(name.is_some() || crl_issuer.is_some(), Rule::Extension, "a distribution point says nothing")?;
        if let Some(reasons) = reasons {
            der::named_bits(reasons.content)?;
        }
        if let Some(issuer) = crl_issuer {
            GeneralName::read_all(Reader::new(issuer.content)).map_err(|error| name_error(error, Rule::Extension))?;
        }
        points.push(match name {
            Some(name) => read_distribution_point_name(Reader::new(name.content))?,
            None => DistributionPoint { names: Vec::new(), uris: Vec::new() },
        });
    }
    Ok(points)
}

/// Reads a `DistributionPointName`. A name relative to the issuer's is kept as no name at all.
pub(crate) fn read_distribution_point_name(mut choice: Reader<'_>) -> Result<DistributionPoint, CertificateError> {
    let mut point = DistributionPoint { names: Vec::new(), uris: Vec::new() };
    let element = choice.element()?;
    choice.finish()?;
    match element.tag {
        FULL_NAME => {
            let mut names = Reader::new(element.content);
            demand(!names.is_empty(), Rule::Extension, "a distribution point has an empty list of names")?;
            while !names.is_empty() {
                let name = names.element()?;
                point.names.push(name.raw.into());
                if let GeneralName::Uri(uri) = GeneralName::read(name).map_err(|error| name_error(error, Rule::Extension))? {
                    point.uris.push(uri);
                }
            }
        }
        RELATIVE_NAME => {}
        _ => return Err(der::DerError::Tag.into()),
    }
    Ok(point)
}

/// Also finds out whether all qualifiers are of the two kinds that RFC 5280 §4.2.1.4 defines, which change no verdict.
fn read_policies(value: &[u8], knows_qualifiers: &mut bool) -> Result<Vec<Box<[u8]>>, CertificateError> {
    let mut list = open(value)?.nested(tag::SEQUENCE)?;
    demand(!list.is_empty(), Rule::Extension, "the list of certificate policies is empty")?;
    let mut policies: Vec<Box<[u8]>> = Vec::new();
    while !list.is_empty() {
        let mut policy = list.nested(tag::SEQUENCE)?;
        let oid = policy.oid()?;
        if let Some(qualifiers) = policy.optional(tag::SEQUENCE)? {
            demand(!qualifiers.content.is_empty(), Rule::Extension, "a list of policy qualifiers is empty")?;
            let mut qualifiers = Reader::new(qualifiers.content);
            while !qualifiers.is_empty() {
                let mut qualifier = qualifiers.nested(tag::SEQUENCE)?;
                *knows_qualifiers &= [oid::POLICY_STATEMENT, oid::POLICY_NOTICE].contains(&qualifier.oid()?);
                qualifier.element()?;
                qualifier.finish()?;
            }
        }
        policy.finish()?;
        demand(policies.len() < MAX_POLICIES, Rule::Extension, "there are more certificate policies than are read")?;
        demand(policies.iter().all(|known| **known != *oid), Rule::Extension, "a certificate policy is there twice (RFC 5280 §4.2.1.4)")?;
        policies.push(oid.into());
    }
    Ok(policies)
}

fn read_policy_mappings(value: &[u8]) -> Result<Vec<PolicyMapping>, CertificateError> {
    let mut list = open(value)?.nested(tag::SEQUENCE)?;
    demand(!list.is_empty(), Rule::Extension, "the list of policy mappings is empty")?;
    let mut mappings = Vec::new();
    while !list.is_empty() {
        let mut mapping = list.nested(tag::SEQUENCE)?;
        demand(mappings.len() < MAX_POLICIES, Rule::Extension, "there are more policy mappings than are read")?;
        mappings.push(PolicyMapping { issuers: mapping.oid()?.into(), subjects: mapping.oid()?.into() });
        mapping.finish()?;
    }
    Ok(mappings)
}

fn read_policy_constraints(value: &[u8]) -> Result<PolicyConstraints, CertificateError> {
    let mut fields = open(value)?.nested(tag::SEQUENCE)?;
    let require_explicit = fields.optional(tag::context(0))?.map(|element| der::small(element.content)).transpose()?;
    let inhibit_mapping = fields.optional(tag::context(1))?.map(|element| der::small(element.content)).transpose()?;
    fields.finish()?;
    demand(require_explicit.is_some() || inhibit_mapping.is_some(), Rule::Extension, "policy constraints are empty")?;
    Ok(PolicyConstraints { require_explicit, inhibit_mapping })
}

/// RFC 5280 §4.2.2.1 and §4.2.2.2: at least one description, each of a method and a place.
fn check_information_access(value: &[u8]) -> Result<(), CertificateError> {
    let mut list = open(value)?.nested(tag::SEQUENCE)?;
    demand(!list.is_empty(), Rule::Extension, "the list of information access is empty")?;
    while !list.is_empty() {
        let mut description = list.nested(tag::SEQUENCE)?;
        description.oid()?;
        GeneralName::read(description.element()?).map_err(|error| name_error(error, Rule::Extension))?;
        description.finish()?;
    }
    Ok(())
}

fn read_inhibit_any_policy(value: &[u8]) -> Result<u32, CertificateError> {
    Ok(der::small(open(value)?.expect(tag::INTEGER)?.content)?)
}

/// An extension's value is DER of its own, inside of an OCTET STRING.
fn open(value: &[u8]) -> Result<Reader<'_>, CertificateError> {
    der::check(value, value.len())?;
    Ok(Reader::new(value))
}

fn name_error(error: GeneralNameError, rule: Rule) -> CertificateError {
    match error {
        GeneralNameError::Der(error) => error.into(),
        GeneralNameError::Syntax(what) => CertificateError::new(rule, what),
        GeneralNameError::Unsupported => {
            CertificateError::new(Rule::NameConstraintUnsupported, "a name constraint is of a form that is not judged")
        }
    }
}

fn demand(condition: bool, rule: Rule, otherwise: &'static str) -> Result<(), CertificateError> {
    if condition { Ok(()) } else { refuse(rule, otherwise) }
}

fn refuse<T>(rule: Rule, what: &'static str) -> Result<T, CertificateError> {
    Err(CertificateError::new(rule, what))
}

/// How many extensions, policies and mappings are read: comparing each with each must stay cheap.
const MAX_EXTENSIONS: usize = 64;
const MAX_POLICIES: usize = 64;

const FULL_NAME: u8 = tag::context_constructed(0);
const RELATIVE_NAME: u8 = tag::context_constructed(1);
