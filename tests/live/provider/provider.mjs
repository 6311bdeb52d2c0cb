// A certified OpenID Connect provider (oidc-provider) with the tests' people. Its only argument is a JSON file of
// settings: port, client, people (a file that is read anew for each question), and how long its tokens live.
//
// Who signs in says so in a form: the login, and how ("amr", "acr"). Everything else is the library's own work.

import { readFileSync } from 'node:fs';

// the library's files name this of Node 22; it is the constructor without the exception
URL.parse ??= (text, base) => { try { return new URL(text, base); } catch { return null; } };

const { default: Provider } = await import('oidc-provider');

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const people = () => JSON.parse(readFileSync(settings.people, 'utf8'));
const issuer = `http://127.0.0.1:${settings.port}`;

const provider = new Provider(issuer, {
  clients: [{
    grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
    response_types: ['code'],
    ...settings.client,
  }, {
    client_id: 'another', client_secret: 'another-secret', redirect_uris: ['https://another.example/cb'],
  }],
  async findAccount(_ctx, id) {
    const found = people()[id];
    if (!found) return undefined;
    return { accountId: id, claims: async () => ({ sub: id, ...found }) };
  },
  claims: {
    openid: ['sub', 'acr', 'amr'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'], groups: ['groups'],
    auth_time: null,
  },
  scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
  acrValues: ['phr'],
  conformIdTokenClaims: settings.userinfo ?? false,
  pkce: { required: () => true },
  jwks: { keys: settings.keys },
  cookies: { keys: ['only for tests'] },
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'] },
  features: {
    devInteractions: { enabled: false }, deviceFlow: { enabled: true, mask: '****-****' }, revocation: { enabled: true },
  },
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  issueRefreshToken: async (_ctx, client, code) => client.grantTypeAllowed('refresh_token')
    && code.scopes.has('offline_access'),
  rotateRefreshToken: true,
  ttl: {
    AccessToken: 600, AuthorizationCode: 60, DeviceCode: 600, IdToken: 600, RefreshToken: 86400, Grant: 86400,
    Interaction: 600, Session: 3600,
  },
});

provider.use(async (ctx, next) => {
  const match = /^\/interaction\/([^/]+)$/.exec(ctx.path);
  if (!match) return next();
  const details = await provider.interactionDetails(ctx.req, ctx.res);
  if (ctx.method === 'GET') {
    ctx.type = 'html';
    ctx.body = `<form method="post" action="${ctx.path}">${details.prompt.name}</form>`;
    return undefined;
  }
  let body = '';
  for await (const piece of ctx.req) body += piece;
  const form = new URLSearchParams(body);
  if (form.has('abort')) {
    return provider.interactionFinished(ctx.req, ctx.res, { error: 'access_denied' });
  }
  const result = {};
  let accountId = details.session?.accountId;
  if (details.prompt.name === 'login') {
    accountId = form.get('login');
    result.login = {
      accountId, amr: form.getAll('amr'), ...(form.has('acr') ? { acr: form.get('acr') } : {}),
    };
    if (form.has('ts')) result.login.ts = Number(form.get('ts'));
  } else {
    const grant = details.grantId ? await provider.Grant.find(details.grantId)
      : new provider.Grant({ accountId, clientId: details.params.client_id });
    grant.addOIDCScope(details.params.scope);
    result.consent = { grantId: await grant.save() };
  }
  return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
});

provider.on('server_error', (_ctx, error) => console.error(error));
provider.listen(settings.port, '127.0.0.1', () => console.log('listening'));
