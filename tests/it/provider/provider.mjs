// A stock OpenID provider for a test: `node provider.mjs KEY CHAIN SECRET`. Its issuer is the first line that it writes. Each line that it
// reads is another redirect URI of its one client, and it ends with its input. Whoever signs in is whom they say, with that address.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const [key, chain, secret] = process.argv.slice(2);
const redirects = new Set();
const server = createServer({ key: readFileSync(key), cert: readFileSync(chain) });
// A test on a busy machine takes its time between two requests.
server.keepAliveTimeout = 120_000;
server.listen(0, '127.0.0.1', () => {
  const issuer = `https://localhost:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'gatehouse', client_secret: secret, redirect_uris: ['https://localhost/none'], response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'] },
    conformIdTokenClaims: false,
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, email: sub, email_verified: true }) }),
    cookies: { keys: ['only for a test'] },
    pkce: { required: () => true },
    features: {
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({ scope: '', audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 600 }),
      },
    },
    extraTokenClaims: () => ({ owner: 'acme' }),
  });
  provider.Client.prototype.redirectUriAllowed = (uri) => redirects.has(uri);
  provider.on('server_error', (_, error) => console.error(error));
  server.on('request', provider.callback());
  console.log(issuer);
});
const lines = createInterface({ input: process.stdin });
lines.on('line', (uri) => redirects.add(uri));
lines.on('close', () => process.exit(0));
