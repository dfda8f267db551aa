//! Good chains with exactly one thing changed, and what must be said about them.
//!
//! Each mutation is written with its verdict, which follows from the rule that it breaks and from nothing else: this
//! crate does not know `pki`. The table `mutations.tsv` takes 2,000 of all possible ones, chosen by a fixed rule, and is
//! committed; the tests make the chains again from the table, sign them with OpenSSL and compare.

#[expect(clippy::unit_arg, reason = "a table reads best with one expression a line")]
mod bundles;
mod extensions;
#[expect(clippy::unit_arg, reason = "a table reads best with one expression a line")]
mod fields;
mod keys;
#[expect(clippy::unit_arg, reason = "a table reads best with one expression a line")]
mod lists;

use crate::{
    Error,
    chain::{Bundle, Chain, Keys},
    good::Base,
};
use std::collections::HashSet;

/// How many mutations the table has.
pub const COUNT: usize = 2000;

/// A way to change one thing, and the verdict after it.
pub struct Mutation {
    /// What it is called.
    pub name: &'static str,
    /// Where it can be done.
    pub places: Places,
    /// What is changed.
    pub change: Change,
    /// `accept`, the code of the rule that is broken, or `refuse` where a random change may break any.
    pub verdict: &'static str,
    /// The bases with which it makes sense; none means all.
    pub bases: &'static [&'static str],
    /// How many different ones chance makes of it.
    pub variants: u64,
}

/// What a mutation changes.
#[derive(Clone, Copy)]
pub enum Change {
    /// The chain before it is signed; the number is the certificate's, or the list's.
    Draft(fn(&mut Chain, usize, &Keys, &mut Chance) -> Result<(), Error>),
    /// The bytes of one certificate, or list, after it was signed.
    Bytes(fn(&mut Vec<u8>, &mut Chance)),
    /// What is presented and configured.
    Bundle(fn(&mut Bundle, &Chain, &Keys) -> Result<(), Error>),
}

/// Where a mutation can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    /// The leaf.
    Leaf,
    /// The CA that issued the leaf, when it is not the anchor.
    Issuer,
    /// Every CA between leaf and anchor.
    Intermediates,
    /// CAs with another CA below.
    AboveCa,
    /// The anchor.
    Anchor,
    /// Intermediates and anchor.
    Authorities,
    /// Leaf and intermediates.
    Below,
    /// Every certificate.
    All,
    /// The revocation list that the leaf is held against.
    LeafList,
    /// The revocation list that the CA is held against.
    CaList,
    /// Each revocation list.
    Lists,
    /// The whole.
    Whole,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The good chain that it begins with.
    pub base: String,
    /// `leaf`, `ca 1`…, `anchor`, `list 0`…, or `chain`.
    pub place: String,
    /// The mutation's name.
    pub mutation: String,
    /// Which of its variants.
    pub variant: u64,
    /// What must be said.
    pub verdict: String,
}

/// Repeatable chance (SplitMix64).
pub struct Chance(u64);

impl Chance {
    /// Begins with a number.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % end
    }
}

/// Every mutation there is.
pub fn all() -> Vec<Mutation> {
    [fields::all(), keys::all(), extensions::all(), bundles::all(), lists::all()].into_iter().flatten().collect()
}

/// The lines of the table: every mutation at every kind of place once, then more of them in an order that a hash gives.
pub fn table(bases: &[Base]) -> Vec<Row> {
    let mutations = all();
    let mut rows = Vec::new();
    for mutation in &mutations {
        for base in bases.iter().filter(|base| mutation.bases.is_empty() || mutation.bases.contains(&base.name)) {
            for at in mutation.places.of(&base.chain) {
                for variant in 0..mutation.variants {
                    let place = mutation.places.name(&base.chain, at);
                    let (base, mutation, verdict) = (base.name.to_owned(), mutation.name.to_owned(), mutation.verdict.to_owned());
                    rows.push(Row { base, place, mutation, variant, verdict });
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|at| openssl::sha::sha256(rows[*at].key().as_bytes()));
    let mut kinds = HashSet::new();
    let (first, rest): (Vec<usize>, Vec<usize>) =
        order.into_iter().partition(|at| kinds.insert((rows[*at].mutation.clone(), rows[*at].place.clone())));
    let mut chosen: Vec<usize> = first.into_iter().chain(rest).take(COUNT).collect();
    chosen.sort_unstable();
    chosen.into_iter().map(|at| rows[at].clone()).collect()
}

/// Makes the chain of one line.
pub fn make(row: &Row, bases: &[Base], mutations: &[Mutation], keys: &Keys) -> Result<Bundle, Error> {
    let base = bases.iter().find(|base| base.name == row.base).ok_or(Error::Row)?;
    let mut chance =
        Chance::new(openssl::sha::sha256(row.key().as_bytes()).iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte)));
    let fits = |mutation: &&Mutation| {
        mutation.name == row.mutation && mutation.places.of(&base.chain).any(|at| mutation.places.name(&base.chain, at) == row.place)
    };
    let mutation = mutations.iter().find(fits).ok_or(Error::Row)?;
    let at = mutation.places.of(&base.chain).find(|at| mutation.places.name(&base.chain, *at) == row.place).ok_or(Error::Row)?;
    let mut chain = base.chain.clone();
    match mutation.change {
        Change::Draft(change) => {
            change(&mut chain, at, keys, &mut chance)?;
            chain.sign()
        }
        Change::Bytes(change) => {
            let mut bundle = chain.sign()?;
            let anchor = chain.certificates.len() - 1;
            change(
                match mutation.places {
                    Places::LeafList | Places::CaList | Places::Lists => &mut bundle.lists[at],
                    _ if at == anchor => &mut bundle.anchors[0],
                    _ => &mut bundle.presented[at],
                },
                &mut chance,
            );
            Ok(bundle)
        }
        Change::Bundle(change) => {
            let mut bundle = chain.sign()?;
            change(&mut bundle, &chain, keys)?;
            Ok(bundle)
        }
    }
}

impl Places {
    /// The places in this chain.
    pub fn of(self, chain: &Chain) -> std::ops::Range<usize> {
        let anchor = chain.certificates.len() - 1;
        match self {
            Self::Leaf => 0..1,
            Self::Issuer => 1..2,
            Self::Intermediates => 1..anchor,
            Self::AboveCa => 2..anchor + 1,
            Self::Anchor => anchor..anchor + 1,
            Self::Authorities => 1..anchor + 1,
            Self::Below => 0..anchor,
            Self::All => 0..anchor + 1,
            Self::LeafList => 0..chain.lists.len().min(1),
            Self::CaList => 1..chain.lists.len().max(1),
            Self::Lists => 0..chain.lists.len(),
            Self::Whole => 0..1,
        }
    }

    fn name(self, chain: &Chain, at: usize) -> String {
        match self {
            Self::LeafList | Self::CaList | Self::Lists => format!("list {at}"),
            Self::Whole => "chain".to_owned(),
            _ if at == 0 => "leaf".to_owned(),
            _ if at + 1 == chain.certificates.len() => "anchor".to_owned(),
            _ => format!("ca {at}"),
        }
    }
}

impl Row {
    /// The line without its verdict, which is what names it.
    pub fn key(&self) -> String {
        format!("{}\t{}\t{}\t{}", self.base, self.place, self.mutation, self.variant)
    }

    /// The line.
    pub fn line(&self) -> String {
        format!("{}\t{}", self.key(), self.verdict)
    }

    /// Reads a line.
    pub fn parse(line: &str) -> Result<Self, Error> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [base, place, mutation, variant, verdict] = fields.as_slice() else { return Err(Error::Row) };
        let variant = variant.parse().map_err(|_| Error::Row)?;
        Ok(Self { base: (*base).into(), place: (*place).into(), mutation: (*mutation).into(), variant, verdict: (*verdict).into() })
    }
}

/// A mutation of a draft with any base and no chance in it.
fn draft(
    name: &'static str,
    places: Places,
    verdict: &'static str,
    change: fn(&mut Chain, usize, &Keys, &mut Chance) -> Result<(), Error>,
) -> Mutation {
    Mutation { name, places, change: Change::Draft(change), verdict, bases: &[], variants: 1 }
}

impl Mutation {
    fn with(mut self, bases: &'static [&'static str]) -> Self {
        self.bases = bases;
        self
    }

    fn times(mut self, variants: u64) -> Self {
        self.variants = variants;
        self
    }
}

/// All bases but the one of which the mutation means something else.
const WITHOUT_REVOCATION: &[&str] =
    &["p256", "p256-long", "p384-long", "ed25519", "rsa2048", "partial", "ocf", "server", "constrained", "policies"];
const WITHOUT_POLICIES: &[&str] =
    &["p256", "p256-long", "p384-long", "ed25519", "rsa2048", "partial", "ocf", "server", "constrained", "revocation"];
const WITHOUT_CONSTRAINTS: &[&str] =
    &["p256", "p256-long", "p384-long", "ed25519", "rsa2048", "partial", "ocf", "server", "policies", "revocation"];
const WITHOUT_HOSTS: &[&str] = &["p256", "p256-long", "p384-long", "ed25519", "rsa2048", "partial", "ocf", "policies", "revocation"];
const WITH_SHA1: &[&str] =
    &["p256", "p256-long", "p384-long", "rsa2048", "partial", "ocf", "server", "constrained", "policies", "revocation"];
