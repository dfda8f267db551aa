//! One route as the document of the API shows it, while its parts describe themselves.
//!
//! Arguments and answers write into an [`Operation`]; schemas come from the same derives that read and write the JSON
//! (`serde` and `schemars` side by side), so that the document cannot say something else than the code does.

use crate::{Credential, Refusal};
use axum::http::StatusCode;
use schemars::{
    JsonSchema, SchemaGenerator,
    generate::{Contract, SchemaSettings},
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const DEFINITIONS: &str = "/components/schemas";

/// What one route takes and gives.
#[derive(Debug)]
pub struct Operation<'a> {
    schemas: &'a mut Schemas,
    path_parameters: Vec<(&'static str, Value)>,
    query_parameters: Vec<Value>,
    body: Option<Value>,
    answers: BTreeMap<u16, Map<String, Value>>,
    refusals: BTreeSet<Refusal>,
    security: &'static [Credential],
}

/// The types that routes speak of. What they take and what they give may differ, so each way has a generator.
#[derive(Debug)]
pub(crate) struct Schemas {
    taken: SchemaGenerator,
    given: SchemaGenerator,
}

impl Schemas {
    pub(crate) fn new() -> Self {
        let generator = |contract: Contract| {
            let settings = SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = DEFINITIONS.into();
                settings.meta_schema = None;
                settings.contract = contract;
            });
            settings.into_generator()
        };
        Self { taken: generator(Contract::Deserialize), given: generator(Contract::Serialize) }
    }

    pub(crate) fn given<T: JsonSchema>(&mut self) -> Value {
        self.given.subschema_for::<T>().to_value()
    }

    /// All named types, and the names that mean one thing in a body and another in an answer.
    pub(crate) fn definitions(mut self) -> (Map<String, Value>, Vec<String>) {
        let mut all = self.given.take_definitions(true);
        let mut ambiguous = Vec::new();
        for (name, schema) in self.taken.take_definitions(true) {
            if all.get(&name).is_some_and(|other| *other != schema) {
                ambiguous.push(name.clone());
            }
            all.insert(name, schema);
        }
        (all, ambiguous)
    }
}

impl<'a> Operation<'a> {
    pub(crate) fn new(path: &'static str, schemas: &'a mut Schemas) -> Self {
        let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        Self {
            schemas,
            path_parameters: names.map(|name| (name, json!({ "type": "string" }))).collect(),
            query_parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            refusals: BTreeSet::new(),
            security: &[],
        }
    }

    /// It reads a body of this type in this media type.
    pub fn body<T: JsonSchema>(&mut self, media_type: &str) {
        let schema = self.schemas.taken.subschema_for::<T>().to_value();
        self.body = Some(json!({ "required": true, "content": { media_type: { "schema": schema } } }));
    }

    /// It reads a body of bytes.
    pub(crate) fn opaque_body(&mut self, media_type: &str) {
        self.body = Some(json!({ "required": true, "content": { media_type: {} } }));
    }

    /// It reads what the braces in its path stand for as this type; a tuple when there are several.
    pub(crate) fn path<T: JsonSchema>(&mut self) {
        let schema = self.schemas.taken.subschema_for::<T>().to_value();
        match self.path_parameters.as_mut_slice() {
            [(_, only)] => *only = schema,
            several => {
                let items = schema.get("prefixItems").and_then(Value::as_array).cloned().unwrap_or_default();
                several.iter_mut().zip(items).for_each(|((_, parameter), item)| *parameter = item);
            }
        }
    }

    /// It reads the fields of this type from the query.
    pub(crate) fn query<T: JsonSchema>(&mut self) {
        let schema = T::json_schema(&mut self.schemas.taken).to_value();
        let required = |name: &String| schema["required"].as_array().is_some_and(|all| all.iter().any(|other| other == name));
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let parameter = json!({ "name": name, "in": "query", "required": required(name), "schema": never_null(field) });
            self.query_parameters.push(parameter);
        }
    }

    /// It answers with this status and type.
    pub fn answer<T: JsonSchema>(&mut self, status: StatusCode, media_type: &str) {
        let schema = self.schemas.given::<T>();
        self.content(status).insert(media_type.to_owned(), json!({ "schema": schema }));
    }

    /// It answers with this status and a body that is no JSON; `None` is no body.
    pub fn opaque_answer(&mut self, status: StatusCode, media_type: Option<&str>) {
        let content = self.content(status);
        if let Some(media_type) = media_type {
            content.insert(media_type.to_owned(), json!({}));
        }
    }

    /// It may refuse so.
    pub fn refusal(&mut self, refusal: Refusal) {
        self.refusals.insert(refusal);
    }

    pub(crate) fn security(&mut self, any_of: &'static [Credential]) {
        self.security = any_of;
    }

    pub(crate) fn refuses(&self, refusal: Refusal) -> bool {
        self.refusals.contains(&refusal)
    }

    pub(crate) fn answers_with(&self, status: StatusCode) -> bool {
        self.answers.contains_key(&status.as_u16())
    }

    pub(crate) fn says_what_it_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    pub(crate) fn schemes(&self) -> impl Iterator<Item = &'static str> {
        self.security.iter().map(|credential| credential.scheme)
    }

    fn content(&mut self, status: StatusCode) -> &mut Map<String, Value> {
        self.answers.entry(status.as_u16()).or_default()
    }

    /// As the document has it, without the words.
    pub(crate) fn finish(self) -> Map<String, Value> {
        let path = self.path_parameters.into_iter();
        let path = path.map(|(name, schema)| json!({ "name": name, "in": "path", "required": true, "schema": schema }));
        let parameters: Vec<_> = path.chain(self.query_parameters).collect();
        let mut responses = Map::new();
        for (status, content) in self.answers {
            let mut answer = json!({ "description": reason(status) });
            if !content.is_empty() {
                answer["content"] = content.into();
            }
            responses.insert(status.to_string(), answer);
        }
        let mut codes: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        for refusal in &self.refusals {
            codes.entry(refusal.status).or_default().push(refusal.code);
        }
        for (status, codes) in codes {
            let response = responses.entry(status.to_string()).or_insert_with(|| json!({ "description": reason(status) }));
            response["content"]["application/problem+json"] = json!({ "schema": problem(status, &codes) });
        }
        let security = self.security.iter().map(|credential| json!({ credential.scheme: credential.scopes }));
        let mut operation = Map::new();
        operation.insert("security".to_owned(), security.collect());
        operation.insert("responses".to_owned(), responses.into());
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), parameters.into());
        }
        operation.extend(self.body.map(|body| ("requestBody".to_owned(), body)));
        operation
    }
}

fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Other")
}

/// Of what is our own fault only the status is promised: the code names the part of us that failed.
fn problem(status: u16, codes: &[&str]) -> Value {
    let any = json!({ "$ref": format!("#{DEFINITIONS}/Problem") });
    if status >= 500 { any } else { json!({ "allOf": [any, { "properties": { "code": { "enum": codes } } }] }) }
}

/// A parameter that is not given is not there; it cannot be null.
fn never_null(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(types) = schema.get_mut("type").filter(|types| types.is_array()) {
        let others: Vec<_> = types.as_array().into_iter().flatten().filter(|one| *one != "null").cloned().collect();
        *types = if let [only] = others.as_slice() { only.clone() } else { others.into() };
    }
    schema
}
