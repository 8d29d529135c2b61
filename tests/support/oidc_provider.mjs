// The certified OpenID provider `oidc-provider`, with one client for a browser and one for a program. Anybody signs in.
// Run by tests/support/oidc_provider.py: node oidc_provider.mjs ISSUER REDIRECT_URI
import Provider from 'oidc-provider';
const issuer = process.argv[2];
const roles = { p1: ['clinician'], '*': ['clinician'] };
const provider = new Provider(issuer, {
  clients: [
    { client_id: 'genescale-portal', token_endpoint_auth_method: 'none', redirect_uris: [process.argv[3]],
      response_types: ['code'], grant_types: ['authorization_code'] },
    { client_id: 'genescale-program', client_secret: 'a secret for tests only', redirect_uris: [], response_types: [],
      grant_types: ['client_credentials'] },
  ],
  pkce: { required: () => true },
  conformIdTokenClaims: false,
  claims: { openid: ['sub', 'genescale_roles'], profile: ['name'] },
  findAccount: (_context, id) => ({ accountId: id, claims: async () => ({ sub: id, name: 'Ada', genescale_roles: roles }) }),
  extraTokenClaims: async () => ({ genescale_roles: { p1: ['analyst'] } }),
  features: {
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => ({ scope: 'submit', audience: 'genescale', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } }),
    },
  },
});
provider.listen(Number(new URL(issuer).port), '127.0.0.1', () => console.log('ready'));
