//! A random walk of lost answers, repetitions and thieves, against a model that fits on a page.

use super::{AdmissionError, Line, Theft, Tokens, not_good, same};
use gatehouse_types::Secret;
use proptest::prelude::*;
use std::time::Duration;

/// The device's key and that of somebody who has stolen everything else of it.
const KEYS: [u8; 2] = [1, 2];

#[derive(Clone, Debug)]
enum Step {
    Issue,
    Exchange { code: prop::sample::Index, key: usize },
    Refresh { answer: prop::sample::Index, key: usize },
    SignIn { answer: prop::sample::Index, key: usize },
    Pass { minutes: u64 },
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    // The device asks nine times of ten, and mostly with what it got last.
    let key = || prop_oneof![9 => Just(0_usize), 1 => Just(1)];
    let any = any::<prop::sample::Index>;
    prop_oneof![
        1 => Just(Step::Issue),
        3 => (any(), key()).prop_map(|(code, key)| Step::Exchange { code, key }),
        5 => (any(), key()).prop_map(|(answer, key)| Step::Refresh { answer, key }),
        4 => (any(), key()).prop_map(|(answer, key)| Step::SignIn { answer, key }),
        1 => (1_u64..5).prop_map(|minutes| Step::Pass { minutes }),
        1 => Just(Step::Sweep),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Code(usize),
    Answer(usize),
}

struct Family {
    alive: bool,
    key: usize,
    last: usize,
    /// What was shown for the last answer, until that is used.
    open: Option<Shown>,
}

/// What has to come of a step.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    New,
    Same(usize),
    Stolen(Theft),
    Refused,
}

#[derive(Default)]
struct Model {
    /// The families that codes gave.
    codes: Vec<Option<usize>>,
    families: Vec<Family>,
    /// The families of answers.
    answers: Vec<usize>,
    alarms: usize,
}

impl Model {
    fn show(&mut self, shown: Shown, key: usize) -> Expected {
        let family = match shown {
            Shown::Code(code) => self.codes[code],
            Shown::Answer(answer) => Some(self.answers[answer]),
        };
        let answer = self.answers.len();
        let Some(at) = family else {
            // Somebody is let in, in place of whoever was.
            self.families.iter_mut().for_each(|family| family.alive = false);
            self.families.push(Family { alive: true, key, last: answer, open: Some(shown) });
            self.answers.push(self.families.len() - 1);
            if let Shown::Code(code) = shown {
                self.codes[code] = Some(self.families.len() - 1);
            }
            return Expected::New;
        };
        let family = &mut self.families[at];
        if !family.alive {
            return Expected::Refused;
        }
        let why = if family.key != key {
            Theft::OtherKey
        } else if shown == Shown::Answer(family.last) {
            (family.last, family.open) = (answer, Some(shown));
            self.answers.push(at);
            return Expected::New;
        } else if family.open == Some(shown) {
            return Expected::Same(family.last);
        } else {
            Theft::Replayed
        };
        family.alive = false;
        self.alarms += 1;
        Expected::Stolen(why)
    }

    fn sign_in(&mut self, answer: usize, key: usize) -> bool {
        let family = &mut self.families[self.answers[answer]];
        let good = family.alive && family.key == key;
        if good && family.last == answer {
            family.open = None;
        }
        good
    }
}

fn agree(expected: &Expected, result: Result<Tokens, AdmissionError>, given: &mut Vec<Tokens>) -> bool {
    match (expected, result) {
        (Expected::New, Ok(tokens)) => {
            let is_new = given.iter().all(|other| other.refresh != tokens.refresh && other.access != tokens.access);
            given.push(tokens);
            is_new
        }
        (Expected::Same(answer), Ok(tokens)) => same(&given[*answer], &tokens),
        (Expected::Stolen(why), Err(AdmissionError::Stolen(found))) => *why == found,
        (Expected::Refused, result) => not_good(result),
        _ => false,
    }
}

async fn walk(steps: Vec<Step>) {
    let line = Line::new().await;
    let (mut model, mut codes, mut given) = (Model::default(), Vec::<Secret>::new(), Vec::<Tokens>::new());
    for (number, step) in steps.into_iter().enumerate() {
        let agreed = match &step {
            Step::Issue => {
                codes.push(line.code().await);
                model.codes.push(None);
                true
            }
            Step::Exchange { code, key } if !codes.is_empty() => {
                let code = code.index(codes.len());
                let expected = model.show(Shown::Code(code), *key);
                agree(&expected, line.exchange(&codes[code], KEYS[*key]).await, &mut given)
            }
            Step::Refresh { answer, key } if !given.is_empty() => {
                let answer = recent(answer, given.len());
                let expected = model.show(Shown::Answer(answer), *key);
                let token = Secret::new(given[answer].refresh.expose().to_vec());
                agree(&expected, line.refresh(&token, KEYS[*key]).await, &mut given)
            }
            Step::SignIn { answer, key } if !given.is_empty() => {
                let answer = recent(answer, given.len());
                let expected = model.sign_in(answer, *key);
                line.sign_in(&given[answer].access, KEYS[*key]).await.is_ok() == expected
            }
            Step::Pass { minutes } => {
                line.world.pass(Duration::from_secs(minutes * 60));
                true
            }
            Step::Sweep => line.admissions.forget_ended(line.now()).await.is_ok(),
            _ => true,
        };
        assert!(agreed, "step {number}: {step:?}");
    }
    let living = model.families.iter().filter(|family| family.alive).count();
    assert_eq!((line.admitted().await, line.alarms().await.len()), (living, model.alarms));
}

/// One of the last three: what is older is theft, and ends the walk's interest.
fn recent(which: &prop::sample::Index, given: usize) -> usize {
    given - 1 - which.index(given.min(3))
}

proptest! {
    // Fifty steps of a few minutes at most: no code is over when they end.
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn whatever_is_lost_repeated_and_stolen_comes_out_as_in_the_model(steps in prop::collection::vec(step(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(walk(steps));
    }
}
