// The peer of the benchmark: oidc-provider with a P-256 key, one client that acts for itself, and JWT access tokens for ten minutes.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
const resource = 'https://localhost/api';

const provider = new Provider('https://localhost', {
  jwks: { keys: [{ ...key, use: 'sig', alg: 'ES256', kid: '1' }] },
  clients: [{
    client_id: 'bench',
    client_secret: 'x'.repeat(43),
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: 'ES256',
    scope: 'members:read',
  }],
  scopes: ['members:read'],
  ttl: { ClientCredentials: 600 },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'members:read',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});

const options = { key: readFileSync('key.pem'), cert: readFileSync('chain.pem'), keepAliveTimeout: 600000 };
const server = createServer(options, provider.callback());
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
