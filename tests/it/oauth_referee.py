"""A program and a browser of other makers: authlib asks our provider, requests follows its pages.

    oauth_referee.py all ISSUER CA EMAIL       the password on standard input; prints what was proven
    oauth_referee.py approve URL CA EMAIL      lets the device code of this address in
"""

import html.parser
import json
import sys
from urllib.parse import parse_qs, urlsplit

import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, jwt
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.core import CodeIDToken

CALLBACK = "https://app.example.com/callback"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class Page(html.parser.HTMLParser):
    """The first form of a page, with what it is filled in with. What follows it needs scripts."""

    def __init__(self, text):
        super().__init__()
        self.action, self.fields, self.options = None, {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form" and self.action is None:
            self.action = attributes["action"]
        elif tag == "input":
            self.fields[attributes["name"]] = attributes.get("value", "")
        elif tag == "option":
            self.options.append(attributes["value"])


class Browser:
    """Follows redirections as long as they stay with us."""

    def __init__(self, base, ca, email, password):
        self.base, self.email, self.password = base, email, password
        self.session = requests.Session()
        # Variables of the environment would change what is believed.
        self.session.trust_env, self.session.verify = False, ca

    def settled(self, response):
        while response.status_code in (302, 303):
            where = response.headers["location"]
            if not where.startswith("/") and not where.startswith(self.base + "/"):
                return where
            response = self.session.get(requests.compat.urljoin(self.base, where), allow_redirects=False)
        return response

    def open(self, url):
        return self.settled(self.session.get(url, allow_redirects=False))

    def send(self, page, **filled):
        headers = {"sec-fetch-site": "same-origin"}
        data = {**page.fields, **filled}
        url = requests.compat.urljoin(self.base, page.action)
        return self.settled(self.session.post(url, data=data, headers=headers, allow_redirects=False))

    def let_in(self, url):
        """Signs in where it is asked for, and says yes; the answer is where that leads."""
        answer = self.open(url)
        for _ in range(4):
            if isinstance(answer, str):
                return answer
            assert answer.status_code == 200, answer.text
            page = Page(answer.text)
            if page.action is None:
                return answer
            if "password" in page.fields:
                answer = self.send(page, email=self.email, password=self.password)
            elif page.options:
                answer = self.send(page, organisation=page.options[0], answer="yes")
            else:
                answer = self.send(page)
        raise AssertionError("the pages do not end")


class Referee:
    def __init__(self, issuer, ca, email, password):
        self.issuer, self.ca = issuer, ca
        self.browser = Browser(issuer, ca, email, password)
        signed_in = self.browser.session.post(f"{issuer}/v1/sign-in", json={"email": email, "password": password})
        assert signed_in.status_code == 200, signed_in.text
        found = requests.get(f"{issuer}/.well-known/oauth-authorization-server", verify=ca).json()
        metadata = AuthorizationServerMetadata(found)
        metadata.validate()
        assert metadata["issuer"] == issuer
        self.at = metadata
        self.keys = JsonWebKey.import_key_set(requests.get(metadata["jwks_uri"], verify=ca).json())

    def client(self, **more):
        body = {"name": "referee", "role": "viewer", "scopes": ["members:read"], **more}
        headers = {"sec-fetch-site": "same-origin"}
        made = self.browser.session.post(f"{self.issuer}/v1/clients", json=body, headers=headers)
        assert made.status_code == 201, made.text
        return made.json()

    def session(self, made, **more):
        session = OAuth2Session(made["id"], made.get("secret"), **more)
        session.trust_env, session.verify = False, self.ca
        return session

    def members(self, token):
        headers = {"authorization": f"Bearer {token}"}
        return requests.get(f"{self.issuer}/v1/members", headers=headers, verify=self.ca).status_code

    def client_credentials(self):
        made = self.client()
        for method in ("client_secret_basic", "client_secret_post"):
            session = self.session(made, token_endpoint_auth_method=method)
            token = session.fetch_token(self.at["token_endpoint"], grant_type="client_credentials")
            assert self.members(token["access_token"]) == 200
        told = session.introspect_token(self.at["introspection_endpoint"], token=token["access_token"]).json()
        assert told["active"] and told["scope"] == "members:read"
        assert session.revoke_token(self.at["revocation_endpoint"], token=token["access_token"]).status_code == 200
        assert self.members(token["access_token"]) == 401

    def private_key_jwt(self):
        key = JsonWebKey.generate_key("RSA", 2048, is_private=True)
        made = self.client(authentication="key", keys=[key.as_dict(is_private=False)])
        session = OAuth2Session(made["id"], key.as_pem(is_private=True), token_endpoint_auth_method="private_key_jwt")
        session.trust_env, session.verify = False, self.ca
        session.register_client_auth_method(PrivateKeyJWT(self.at["token_endpoint"]))
        token = session.fetch_token(self.at["token_endpoint"], grant_type="client_credentials")
        assert self.members(token["access_token"]) == 200

    def code(self, public):
        more = {"authentication": "none"} if public else {}
        made = self.client(redirect_uris=[CALLBACK], **more)
        method = "none" if public else "client_secret_basic"
        session = self.session(
            made,
            scope="openid profile email offline_access members:read",
            redirect_uri=CALLBACK,
            code_challenge_method="S256",
            token_endpoint_auth_method=method,
        )
        verifier, nonce = generate_token(64), generate_token()
        url, state = session.create_authorization_url(self.at["authorization_endpoint"], code_verifier=verifier, nonce=nonce)
        back = self.browser.let_in(url)
        answer = parse_qs(urlsplit(back).query)
        # RFC 9207: who answers is the one who was asked.
        assert back.startswith(CALLBACK + "?") and answer["iss"] == [self.issuer] and answer["state"] == [state], back
        token = session.fetch_token(self.at["token_endpoint"], authorization_response=back, code_verifier=verifier, state=state)
        claims = jwt.decode(
            token["id_token"],
            self.keys,
            claims_cls=CodeIDToken,
            claims_options={"iss": {"essential": True, "value": self.issuer}, "aud": {"essential": True, "value": made["id"]}},
            claims_params={"nonce": nonce, "client_id": made["id"], "access_token": token["access_token"]},
        )
        claims.validate()
        told = session.get(self.at["userinfo_endpoint"]).json()
        assert told["sub"] == claims["sub"] and told["email"] == self.browser.email and told["email_verified"] is True, told
        assert self.members(token["access_token"]) == 200
        first = token["refresh_token"]
        second = session.refresh_token(self.at["token_endpoint"], refresh_token=first)
        assert second["refresh_token"] != first and self.members(second["access_token"]) == 200
        try:
            session.refresh_token(self.at["token_endpoint"], refresh_token=first)
            raise SystemExit("an old refresh token was taken")
        except Exception as error:  # authlib's own class differs between versions
            assert "invalid_grant" in str(error), error
        assert self.members(second["access_token"]) == 401, "a theft ends the grant"

    def device_code(self):
        answer = requests.post(
            self.at["device_authorization_endpoint"],
            data={"client_id": "gatehouse-cli", "scope": "openid members:read offline_access"},
            verify=self.ca,
        ).json()
        session = OAuth2Session("gatehouse-cli", token_endpoint_auth_method="none")
        session.trust_env, session.verify = False, self.ca
        shown = {"grant_type": DEVICE, "device_code": answer["device_code"]}
        try:
            session.fetch_token(self.at["token_endpoint"], **shown)
            raise SystemExit("a token came before an answer")
        except Exception as error:
            assert "authorization_pending" in str(error), error
        done = self.browser.let_in(answer["verification_uri_complete"])
        assert done.status_code == 200 and "goes on" in done.text, done.text
        token = session.fetch_token(self.at["token_endpoint"], **shown)
        assert self.members(token["access_token"]) == 200
        ended = session.revoke_token(self.at["revocation_endpoint"], token=token["refresh_token"])
        assert ended.status_code == 200 and self.members(token["access_token"]) == 401


def main():
    what, url, ca, email = sys.argv[1:5]
    password = sys.stdin.readline().rstrip("\n")
    if what == "approve":
        parts = urlsplit(url)
        done = Browser(f"{parts.scheme}://{parts.netloc}", ca, email, password).let_in(url)
        assert done.status_code == 200 and "goes on" in done.text, done.text
        return
    referee = Referee(url, ca, email, password)
    proven = []
    for name, step in [
        ("client credentials, introspection, revocation", referee.client_credentials),
        ("code with PKCE, ID token, userinfo, refresh, theft", lambda: referee.code(public=False)),
        ("the same for a public client", lambda: referee.code(public=True)),
        ("device code", referee.device_code),
        ("private_key_jwt", referee.private_key_jwt),
    ]:
        step()
        proven.append(name)
    print(json.dumps(proven))


main()
