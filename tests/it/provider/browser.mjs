// A browser without scripts, for a test: `node browser.mjs link|enter URL EMAIL`, with the password on standard input. It follows redirections
// between our pages and the provider's, keeps cookies for each of them, sends the forms, and says at the end who is signed in.
import { readFileSync } from 'node:fs';

const [what, url, email] = process.argv.slice(2);
const password = readFileSync(0, 'utf8').trim();
const jars = new Map();

async function go(target, options = {}) {
  for (let steps = 0; steps < 20; steps += 1) {
    const { origin } = new URL(target);
    const jar = jars.get(origin) ?? new Map();
    jars.set(origin, jar);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = { ...options.headers, ...(cookie && { cookie }) };
    const answer = await fetch(target, { ...options, headers, redirect: 'manual' });
    for (const line of answer.headers.getSetCookie?.() ?? []) {
      const [pair] = line.split(';');
      const at = pair.indexOf('=');
      if (/max-age=0|expires=thu, 01 jan 1970/i.test(line)) jar.delete(pair.slice(0, at));
      else jar.set(pair.slice(0, at), pair.slice(at + 1));
    }
    if (answer.status < 300 || answer.status >= 400) return { target, status: answer.status, text: await answer.text() };
    target = new URL(answer.headers.get('location'), target).href;
    options = {};
  }
  throw new Error('too many redirections');
}

const unescape = (text) => text.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&lt;', '<').replaceAll('&amp;', '&');

// Sends the form of a page whose action or content fits, with some fields filled in.
async function send(page, fits, fields) {
  const form = page.text.split(/<form /i).slice(1).map((text) => text.split(/<\/form>/i)[0]).find((text) => fits.test(text));
  if (!form) throw new Error(`no form that fits ${fits} at ${page.target} (${page.status}): ${page.text}`);
  const action = unescape(form.match(/action="([^"]*)"/i)[1]);
  const body = new URLSearchParams();
  for (const [input] of form.matchAll(/<input[^>]*>/gi)) {
    const name = input.match(/name="([^"]*)"/i)?.[1];
    if (name) body.set(name, unescape(input.match(/value="([^"]*)"/i)?.[1] ?? ''));
  }
  for (const [name, value] of Object.entries(fields)) body.set(name, value);
  const target = new URL(action, page.target).href;
  const headers = { 'content-type': 'application/x-www-form-urlencoded', origin: new URL(target).origin, 'sec-fetch-site': 'same-origin' };
  return go(target, { method: 'POST', headers, body: body.toString() });
}

// Through the provider's own pages: who signs in, and that it may tell us.
async function throughProvider(page) {
  while (/name="prompt"/.test(page.text)) {
    page = await send(page, /name="prompt"/, { login: email, password: 'any' });
  }
  return page;
}

let page = await go(`${url}/account/links`);
if (what === 'link') {
  page = await send(page, /action="\/account\/sign-in"/, { email, password });
  page = await throughProvider(await send(page, /action="\/account\/links"/, {}));
  page = await send(page, /action="\/account\/links\/confirm"/, { answer: 'yes' });
} else {
  page = await throughProvider(await send(page, /action="\/account\/sign-in\/provider"/, {}));
}
const me = await go(`${url}/v1/me`, { headers: { accept: 'application/json' } });
const links = await go(`${url}/v1/me/links`);
console.log(JSON.stringify({ status: me.status, me: JSON.parse(me.text), links: JSON.parse(links.text), page: page.status }));
