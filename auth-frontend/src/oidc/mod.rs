//! Login and logout by OpenID Connect, the only place that speaks it: authorization code with PKCE,
//! state and nonce, Auth0's organizations, and the verification of what comes back. It does not
//! know cookies or pages.

mod id_token;
mod organization;
mod provider;

use std::{error::Error as StdError, sync::Arc, time::SystemTime};

use openidconnect::{
    AuthType, AuthenticationFlow, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenFields, IssuerUrl,
    LogoutHint, LogoutRequest, Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier,
    PostLogoutRedirectUrl, ProviderMetadataWithLogout, RedirectUrl, RequestTokenError, Scope,
    StandardErrorResponse, StandardTokenResponse,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreResponseType,
        CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse,
        CoreTokenType,
    },
};
use secrecy::{ExposeSecret, SecretString};
use service_kit::{
    identity::{Caller, Logout, Verifier, VerifyError},
    refreshed::FetchMetrics,
};
use tokio::time::error::Elapsed;
use url::Url;

use crate::login_attempt::{LoginAttempt, LoginWish};

use id_token::OrganizationClaims;
pub(crate) use organization::{OrganizationMismatch, is_id, is_meant};
use provider::{HttpError, Provider};

/// The path that the provider sends the browser back to.
pub(crate) const CALLBACK_PATH: &str = "/auth/callback";

type TokenAnswer = StandardTokenResponse<
    IdTokenFields<
        OrganizationClaims,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;
type Refusal = StandardErrorResponse<CoreErrorResponseType>;
type Auth0Client = Client<
    OrganizationClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    Refusal,
    TokenAnswer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// How the provider knows this application.
pub(crate) struct OidcSettings {
    /// The issuer, ending in a slash.
    pub issuer: Url,
    /// The origin that browsers use.
    pub base_url: Url,
    /// The application's id.
    pub client_id: String,
    /// The application's secret.
    pub client_secret: SecretString,
    /// The API that access tokens are for.
    pub audience: String,
}

/// Somebody whom the provider has authenticated, with both tokens verified.
pub(crate) struct Identity {
    /// The access token.
    pub access_token: String,
    /// Who it is, by the access token.
    pub caller: Arc<Caller>,
    /// The person's display name, where the ID token has one.
    pub name: Option<String>,
    /// The provider's id of its own session.
    pub sid: Option<String>,
}

/// Why a login did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    /// The provider does not answer, or not in a way that we understand.
    #[error("the provider does not answer: {0}")]
    Unavailable(&'static str, #[source] Option<Box<dyn StdError + Send + Sync>>),
    /// The provider no longer takes the code: it was used already, or took too long.
    #[error("the authorization code is no longer valid")]
    CodeExpired,
    /// The login is not for the organization that was asked for, or for none.
    #[error("the login is for another organization or for none")]
    Organization(OrganizationMismatch),
    /// What came back is not to be trusted, or the provider and we are not set up for each other.
    #[error("the provider's answer is not acceptable: {0}")]
    Unacceptable(&'static str, #[source] Option<Box<dyn StdError + Send + Sync>>),
}

impl From<Elapsed> for OidcError {
    fn from(late: Elapsed) -> Self {
        Self::Unavailable("it takes too long", Some(Box::new(late)))
    }
}

/// The login at one provider.
pub(crate) struct Oidc {
    provider: Provider,
    verifier: Verifier,
    client_id: ClientId,
    client_secret: ClientSecret,
    audience: String,
    redirect_url: RedirectUrl,
    logged_out_url: PostLogoutRedirectUrl,
    issuer: Url,
}

impl Oidc {
    /// A login that asks the provider for nothing until the first person logs in.
    ///
    /// # Panics
    /// Never: URLs that were parsed already are URLs.
    #[must_use]
    pub(crate) fn new(
        settings: OidcSettings,
        verifier: Verifier,
        http: reqwest::Client,
        fetches: FetchMetrics,
    ) -> Self {
        let callback =
            settings.base_url.join(CALLBACK_PATH).expect("an origin can be extended by a path");
        Self {
            provider: Provider::new(http, IssuerUrl::from_url(settings.issuer.clone()), fetches),
            verifier,
            client_id: ClientId::new(settings.client_id),
            client_secret: ClientSecret::new(settings.client_secret.expose_secret().to_owned()),
            audience: settings.audience,
            redirect_url: RedirectUrl::from_url(callback),
            logged_out_url: PostLogoutRedirectUrl::from_url(settings.base_url),
            issuer: settings.issuer,
        }
    }

    /// Begins a login: where to send the browser, and what it must bring back.
    ///
    /// # Errors
    /// [`OidcError::Unavailable`].
    pub(crate) async fn begin(&self, wish: LoginWish) -> Result<(Url, LoginAttempt), OidcError> {
        let client = self.client(&*self.metadata().await?);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let nonce = Nonce::new_random();
        let attempt = LoginAttempt::new(
            nonce.secret().clone(),
            verifier.into_secret(),
            wish,
            SystemTime::now(),
        );
        let state = CsrfToken::new(attempt.state.clone());
        let mut request = client
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                || state,
                || nonce,
            )
            .add_scope(Scope::new("profile".to_owned()))
            .add_extra_param("audience", &self.audience)
            .set_pkce_challenge(challenge);
        if let Some(organization) = &attempt.wish.organization {
            request = request.add_extra_param("organization", organization);
        }
        if let Some(invitation) = &attempt.wish.invitation {
            request = request.add_extra_param("invitation", invitation);
        }
        if attempt.wish.asks_password {
            request = request.add_prompt(CoreAuthPrompt::Login);
        }
        let (url, _, _) = request.url();
        Ok((url, attempt))
    }

    /// Finishes a login: exchanges the code and verifies all that comes for it.
    ///
    /// # Errors
    /// See [`OidcError`].
    pub(crate) async fn finish(
        &self,
        code: String,
        attempt: &LoginAttempt,
    ) -> Result<Identity, OidcError> {
        let metadata = self.metadata().await?;
        let answer = self
            .client(&metadata)
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| unacceptable("it has no token endpoint", error))?
            .set_pkce_verifier(PkceCodeVerifier::new(attempt.verifier.clone()))
            .request_async(&self.provider.http())
            .await
            .map_err(token_error)?;
        let nonce = Nonce::new(attempt.nonce.clone());
        let claims = match id_token::read(&self.client(&metadata), &answer, &nonce) {
            Err(unknown) if id_token::is_unknown_key(&unknown) => {
                let newer = self
                    .provider
                    .metadata_after(&metadata)
                    .await
                    .ok_or_else(|| unacceptable("the ID token's key is unknown", unknown))?;
                id_token::read(&self.client(&newer), &answer, &nonce)
            }
            claims => claims,
        }
        .map_err(|error| unacceptable("the ID token is not valid", error))?;
        let organization_id = organization::confirm(
            attempt.wish.organization.as_deref(),
            claims.organization.org_id.as_deref(),
            claims.organization.org_name.as_deref(),
        )
        .map_err(OidcError::Organization)?;
        let access_token = answer.access_token().secret();
        let caller = self.verifier.verify(access_token).await.map_err(|error| match error {
            VerifyError::Unavailable => {
                OidcError::Unavailable("its keys cannot be fetched", Some(Box::new(error)))
            }
            error => unacceptable("the access token is not valid", error),
        })?;
        if caller.actor().id != claims.subject || caller.organization().id() != organization_id {
            return Err(OidcError::Unacceptable("its two tokens are for different people", None));
        }
        Ok(Identity {
            access_token: access_token.clone(),
            caller,
            name: claims.name,
            sid: claims.organization.sid,
        })
    }

    /// Whether an access token that was good serves no longer, by the keys that the provider has now.
    /// It does while these cannot be had.
    pub(crate) async fn refuses(&self, access_token: &str) -> bool {
        let verified = self.verifier.verify_by_new_keys(access_token).await;
        matches!(verified, Err(VerifyError::Invalid(_) | VerifyError::Expired))
    }

    /// Whether this is the provider's name for itself.
    #[must_use]
    pub(crate) fn is_issuer(&self, name: &str) -> bool {
        name == self.issuer.as_str()
    }

    /// What the provider says with a logout token.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub(crate) async fn read_logout(&self, token: &str) -> Result<Logout, VerifyError> {
        self.verifier.verify_logout(token, self.client_id.as_str()).await
    }

    /// Where to send the browser to end the provider's session, whose id is `sid`.
    ///
    /// # Errors
    /// [`OidcError::Unavailable`].
    ///
    /// # Panics
    /// Never: a URL that can be a base takes a relative path.
    pub(crate) async fn logout_url(&self, sid: Option<&str>) -> Result<Url, OidcError> {
        let metadata = self.metadata().await?;
        let endpoint = metadata.additional_metadata().end_session_endpoint.clone();
        let (Some(endpoint), Some(sid)) = (endpoint, sid) else {
            // For a tenant with "RP-initiated logout end session endpoint discovery" switched off,
            // and where our session is gone: without a hint the standard endpoint would first ask
            // the person whether to log out.
            let mut url = self.issuer.join("v2/logout").expect("an issuer is a base URL");
            url.query_pairs_mut()
                .append_pair("client_id", self.client_id.as_str())
                .append_pair("returnTo", self.logged_out_url.as_str());
            return Ok(url);
        };
        let request = LogoutRequest::from(endpoint)
            .set_client_id(self.client_id.clone())
            .set_post_logout_redirect_uri(self.logged_out_url.clone())
            .set_logout_hint(LogoutHint::new(sid.to_owned()));
        Ok(request.http_get_url())
    }

    async fn metadata(&self) -> Result<Arc<ProviderMetadataWithLogout>, OidcError> {
        self.provider.metadata().await.map_err(|error| {
            OidcError::Unavailable("its metadata cannot be fetched", Some(Box::new(error)))
        })
    }

    fn client(&self, metadata: &ProviderMetadataWithLogout) -> Auth0Client {
        Client::from_provider_metadata(
            metadata.clone(),
            self.client_id.clone(),
            Some(self.client_secret.clone()),
        )
        .set_redirect_uri(self.redirect_url.clone())
        // What Auth0 gives a new web application.
        .set_auth_type(AuthType::RequestBody)
    }
}

fn unacceptable(reason: &'static str, source: impl StdError + Send + Sync + 'static) -> OidcError {
    OidcError::Unacceptable(reason, Some(Box::new(source)))
}

/// Parse errors are not kept as sources: they would quote tokens into the log.
fn token_error(error: RequestTokenError<HttpError, Refusal>) -> OidcError {
    match error {
        RequestTokenError::Request(error) => {
            OidcError::Unavailable("the token request failed", Some(Box::new(error)))
        }
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            OidcError::Unavailable("the token answer is malformed", None)
        }
        RequestTokenError::ServerResponse(refusal) => match refusal.error() {
            CoreErrorResponseType::InvalidGrant => OidcError::CodeExpired,
            CoreErrorResponseType::InvalidClient | CoreErrorResponseType::UnauthorizedClient => {
                OidcError::Unacceptable("it does not take our client id and secret", None)
            }
            CoreErrorResponseType::Extension(_) => {
                OidcError::Unavailable("it refused the token request", None)
            }
            _ => OidcError::Unacceptable("it does not understand the token request", None),
        },
    }
}
