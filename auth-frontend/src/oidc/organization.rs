//! The rule of organizations: a login that was asked for one organization must come back with that
//! one, and every login with one. It does not know how tokens are verified.
//!
//! Source: "Work with Tokens and Organizations" in the Auth0 docs. Auth0 gives a new organization
//! the name of one that was deleted, so what is kept is its id, never its name.

/// How the ids that Auth0 gives begin. Names cannot begin so.
const ID_PREFIX: &str = "org_";

/// Why a login does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrganizationMismatch {
    /// It is for no organization.
    None,
    /// It is for another one than was asked for.
    Other,
}

/// Whether `asked` is the id of an organization, which is nothing that people know, and no name.
#[must_use]
pub(crate) fn is_id(asked: &str) -> bool {
    asked.starts_with(ID_PREFIX)
}

/// Whether `asked`, an id or a name, means the organization with this id and name.
#[must_use]
pub(crate) fn is_meant(asked: &str, id: &str, name: Option<&str>) -> bool {
    if is_id(asked) {
        return asked == id;
    }
    // Auth0's names are ASCII; folding more than that would make other letters equal to them.
    name.is_some_and(|name| name.eq_ignore_ascii_case(asked))
}

/// The id of the organization that the ID token names, if it may be used for what was asked.
pub(super) fn confirm<'t>(
    asked: Option<&str>,
    id: Option<&'t str>,
    name: Option<&str>,
) -> Result<&'t str, OrganizationMismatch> {
    let id = id.filter(|id| !id.is_empty()).ok_or(OrganizationMismatch::None)?;
    let confirmed = asked.is_none_or(|asked| is_meant(asked, id, name));
    if confirmed { Ok(id) } else { Err(OrganizationMismatch::Other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_comes_back_for_the_organization_it_was_asked_for() {
        let (id, name) = (Some("org_acme"), Some("acme"));

        for asked in [None, Some("org_acme"), Some("acme"), Some("ACME")] {
            assert_eq!(confirm(asked, id, name), Ok("org_acme"), "{asked:?}");
        }
        let others =
            ["org_globex", "globex", "org_ACME", "ORG_acme", "org_", "", "acme ", "a\u{212a}me"];
        for asked in others {
            assert_eq!(
                confirm(Some(asked), id, name),
                Err(OrganizationMismatch::Other),
                "{asked:?}"
            );
        }
    }

    #[test]
    fn a_name_is_no_id_and_an_id_is_no_name() {
        assert_eq!(
            confirm(Some("org_acme"), Some("org_globex"), Some("org_acme")),
            Err(OrganizationMismatch::Other)
        );
        assert_eq!(confirm(Some("acme"), Some("acme"), None), Err(OrganizationMismatch::Other));
    }

    #[test]
    fn a_login_for_no_organization_never_counts() {
        for asked in [None, Some("acme"), Some("org_acme")] {
            assert_eq!(confirm(asked, None, Some("acme")), Err(OrganizationMismatch::None));
            assert_eq!(confirm(asked, Some(""), None), Err(OrganizationMismatch::None));
        }
    }
}
