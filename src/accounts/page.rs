//! Pages for people: HTML that works without a script, frames nowhere and sends its forms nowhere but to us.
//!
//! Text becomes HTML in [`Page`] and [`Form`] and nowhere else, and is escaped there: whoever puts a page together cannot forget it.
//! Each answer carries the policy that browsers hold it to. What a page says, and what happens to its forms, is its maker's affair.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use data_encoding::BASE64;
use ring::digest::{SHA256, digest};
use std::{fmt::Write, sync::LazyLock};

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem;color:#1b1f24;background:#fff}\
h1{font-size:1.4rem}label{display:block;margin:1rem 0 .25rem}input,select{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;\
border:1px solid #6b7280;border-radius:.25rem}button{font:inherit;margin:1.25rem .5rem 0 0;padding:.5rem 1.25rem;border:1px solid #1d4ed8;\
border-radius:.25rem;background:#1d4ed8;color:#fff}button.other{background:#fff;color:#1d4ed8}[role=alert]{border-left:.25rem solid #b91c1c;\
padding:.25rem .75rem}dt{font-weight:600}dd{margin:0 0 .5rem;overflow-wrap:anywhere}@media(prefers-color-scheme:dark){body{color:#e5e7eb;\
background:#111827}input,select,button.other{background:#1f2937;color:#e5e7eb}}";

/// The only style that a browser takes is the one with this digest (CSP Level 3 §6.7.2.4).
static STYLE_DIGEST: LazyLock<String> = LazyLock::new(|| BASE64.encode(digest(&SHA256, STYLE.as_bytes()).as_ref()));

/// A page that is being put together.
#[derive(Debug)]
pub(crate) struct Page {
    status: StatusCode,
    title: String,
    body: String,
    /// Where a form's answer may lead besides to us: browsers hold redirections to the policy as well.
    leads_to: Vec<String>,
    /// A script of ours that makes more of it.
    script: Option<&'static str>,
}

/// A form that is being put together.
#[derive(Debug)]
pub(crate) struct Form {
    html: String,
}

/// A field that somebody fills in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Field<'a> {
    pub(crate) name: &'a str,
    pub(crate) label: &'a str,
    /// The type of input; `text` when empty.
    pub(crate) kind: &'a str,
    /// What a browser or password manager fills in.
    pub(crate) autocomplete: &'a str,
    pub(crate) value: &'a str,
    pub(crate) optional: bool,
}

impl Page {
    /// An empty page under this heading.
    pub(crate) fn new(title: &str) -> Self {
        Self { status: StatusCode::OK, title: title.to_owned(), body: String::new(), leads_to: Vec::new(), script: None }
    }

    /// The same page as the answer to something that did not go.
    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Lets what a form of this page is answered with lead to this origin or scheme, which holds no character that ends a source.
    pub(crate) fn leading_to(mut self, source: &str) -> Self {
        let harmless = |c: char| c.is_ascii_alphanumeric() || "-._:/[]".contains(c);
        if source.chars().all(harmless) {
            self.leads_to.push(source.to_owned());
        }
        self
    }

    /// Runs the script at this path of ours, which may ask us.
    pub(crate) fn script(self, path: &'static str) -> Self {
        Self { script: Some(path), ..self }
    }

    /// A paragraph.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.element("p", text);
        self
    }

    /// A paragraph that must be seen.
    pub(crate) fn alert(mut self, text: Option<&str>) -> Self {
        if let Some(text) = text {
            let _ = write!(self.body, "<p role=\"alert\">{}</p>", escaped(text));
        }
        self
    }

    /// Pairs of a name and what it stands for.
    pub(crate) fn facts<'a>(mut self, facts: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        self.body.push_str("<dl>");
        for (name, fact) in facts {
            self.element("dt", name);
            self.element("dd", &fact);
        }
        self.body.push_str("</dl>");
        self
    }

    /// A list.
    pub(crate) fn list(mut self, lines: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.body.push_str("<ul>");
        lines.into_iter().for_each(|line| self.element("li", line.as_ref()));
        self.body.push_str("</ul>");
        self
    }

    /// A link to somewhere else, which is not told where it was followed.
    pub(crate) fn link(mut self, text: &str, address: &str) -> Self {
        let _ = write!(self.body, "<p><a rel=\"noreferrer\" href=\"{}\">{}</a></p>", escaped(address), escaped(text));
        self
    }

    /// A form.
    pub(crate) fn form(mut self, form: Form) -> Self {
        self.body.push_str(&form.html);
        self.body.push_str("</form>");
        self
    }

    fn element(&mut self, name: &str, text: &str) {
        let _ = write!(self.body, "<{name}>{}</{name}>", escaped(text));
    }

    fn html(&self) -> String {
        let Self { title, body, .. } = self;
        let title = escaped(title);
        let script = self.script.map(|path| format!("<script src=\"{path}\" defer></script>")).unwrap_or_default();
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>{title}</title><style>{STYLE}</style>{script}</head><body><main><h1>{title}</h1>{body}</main></body></html>"
        )
    }

    fn policy(&self) -> String {
        let leads_to: String = self.leads_to.iter().map(|source| format!(" {source}")).collect();
        let scripts = self.script.map(|_| "script-src 'self'; connect-src 'self'; ").unwrap_or_default();
        format!(
            "default-src 'none'; {scripts}style-src 'sha256-{}'; form-action 'self'{leads_to}; frame-ancestors 'none'; base-uri 'none'",
            *STYLE_DIGEST
        )
    }
}

impl Form {
    /// A form that is sent to this path of ours.
    pub(crate) fn to(path: &'static str) -> Self {
        Self { html: format!("<form method=\"post\" action=\"{path}\">") }
    }

    /// Hides the form until the script shows it, which then fills in `credential` with a passkey's answer to the options at this path.
    pub(crate) fn asking_passkey(self, ceremony: &'static str, options: &'static str) -> Self {
        let html = self.html.replace('>', &format!(" data-passkey=\"{ceremony}\" data-options=\"{options}\" hidden>"));
        Self { html }.hidden("credential", "")
    }

    /// A field that nobody sees.
    pub(crate) fn hidden(mut self, name: &str, value: &str) -> Self {
        let _ = write!(self.html, "<input type=\"hidden\" name=\"{}\" value=\"{}\">", escaped(name), escaped(value));
        self
    }

    /// A field that somebody fills in.
    pub(crate) fn field(mut self, field: Field<'_>) -> Self {
        let Field { name, label, kind, autocomplete, value, optional } = field;
        let [name, label, autocomplete, value] = [name, label, autocomplete, value].map(escaped);
        let kind = if kind.is_empty() { "text".to_owned() } else { escaped(kind) };
        let required = if optional { "" } else { " required" };
        let _ = write!(
            self.html,
            "<label for=\"{name}\">{label}</label><input id=\"{name}\" name=\"{name}\" type=\"{kind}\" autocomplete=\"{autocomplete}\" \
             value=\"{value}\" maxlength=\"320\" spellcheck=\"false\" autocapitalize=\"none\"{required}>"
        );
        self
    }

    /// One of several, as pairs of a value and what people see.
    pub(crate) fn choice(mut self, name: &str, label: &str, options: &[(String, String)]) -> Self {
        let [name, label] = [name, label].map(escaped);
        let _ = write!(self.html, "<label for=\"{name}\">{label}</label><select id=\"{name}\" name=\"{name}\">");
        for (value, text) in options {
            let _ = write!(self.html, "<option value=\"{}\">{}</option>", escaped(value), escaped(text));
        }
        self.html.push_str("</select>");
        self
    }

    /// A button that sends the form.
    pub(crate) fn button(mut self, label: &str) -> Self {
        let _ = write!(self.html, "<button type=\"submit\">{}</button>", escaped(label));
        self
    }

    /// A button that sends the form and is not the first thing to press.
    pub(crate) fn other_button(mut self, label: &str) -> Self {
        let _ = write!(self.html, "<button type=\"submit\" class=\"other\">{}</button>", escaped(label));
        self
    }

    /// Two buttons: the first does it, the second does not.
    pub(crate) fn decision(mut self, name: &str, yes: (&str, &str), no: (&str, &str)) -> Self {
        for ((value, label), class) in [(yes, ""), (no, " class=\"other\"")] {
            let [name, value, label] = [name, value, label].map(escaped);
            let _ = write!(self.html, "<button type=\"submit\" name=\"{name}\" value=\"{value}\"{class}>{label}</button>");
        }
        self
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let policy =
            HeaderValue::from_str(&self.policy()).unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        (self.status, headers, self.html()).into_response()
    }
}

/// Text as it stands between tags and in quoted attributes.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            // Directions that a name brings along must not turn the rest of the page around.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => html.push('\u{fffd}'),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "\"><script>alert('&')</script>\u{202e}";

    #[test]
    fn text_stays_text_wherever_it_is_put() {
        let form = Form::to("/here")
            .hidden("a", HOSTILE)
            .field(Field { name: "b", label: HOSTILE, value: HOSTILE, autocomplete: HOSTILE, kind: HOSTILE, ..Field::default() })
            .choice("c", HOSTILE, &[(HOSTILE.to_owned(), HOSTILE.to_owned())])
            .decision("d", (HOSTILE, HOSTILE), ("no", HOSTILE))
            .button(HOSTILE);
        let page = Page::new(HOSTILE).text(HOSTILE).alert(Some(HOSTILE)).list([HOSTILE]).facts([("name", HOSTILE.to_owned())]).form(form);
        let html = page.html();
        assert!(!html.contains("<script") && !html.contains("alert('") && !html.contains('\u{202e}'), "{html}");
        assert!(html.contains("&quot;&gt;&lt;script&gt;alert(&#39;&amp;&#39;)"));
    }

    #[test]
    fn a_page_is_framed_nowhere_and_sends_its_forms_to_us_and_where_it_says() {
        let response = Page::new("Hello").leading_to("https://app.example.com").into_response();
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text").to_owned();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.ends_with("form-action 'self' https://app.example.com; frame-ancestors 'none'; base-uri 'none'"), "{policy}");
        assert_eq!(response.headers()[header::X_FRAME_OPTIONS], "DENY");
        assert!(!policy.contains("script-src"), "{policy}");
        for hostile in ["https://a.example; script-src *", "'unsafe-inline'", "https://a.example,b"] {
            assert!(!Page::new("Hello").leading_to(hostile).policy().contains(hostile), "{hostile}");
        }
    }

    #[test]
    fn a_page_runs_the_script_that_it_names_and_nothing_else() {
        let page = Page::new("Hello").script("/here.js").form(Form::to("/there").asking_passkey("get", "/options").button("Go"));
        let (html, policy) = (page.html(), page.policy());
        assert!(html.contains("<script src=\"/here.js\" defer></script></head>"), "{html}");
        assert!(html.contains("action=\"/there\" data-passkey=\"get\" data-options=\"/options\" hidden>"), "{html}");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
