//! Every template with every sample, strictly, and nothing unescaped.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

/// The name, section and rendered samples of every page. A new page is added here, or the test on
/// template files fails.
fn rendered() -> Vec<(&'static str, Vec<String>)> {
    fn all<P: Page>(pages: &Pages) -> (&'static str, Vec<String>) {
        let samples = P::samples();
        (P::TEMPLATE, samples.iter().map(|page| pages.render(page).unwrap()).collect())
    }
    let pages = Pages::compile().unwrap();
    vec![
        all::<Login>(&pages),
        all::<Home>(&pages),
        all::<RecordsTable>(&pages),
        all::<RecordView>(&pages),
        all::<RecordForm>(&pages),
        all::<AuditTrail>(&pages),
        all::<ErrorPage>(&pages),
    ]
}

/// With `PAGES_OUT` set to a folder, the samples are also written there to be looked at.
#[test]
fn every_template_renders_with_every_sample() {
    for (template, documents) in rendered() {
        assert!(documents.len() > 1, "{template} has too few samples");
        for (index, html) in documents.iter().enumerate() {
            assert!(html.starts_with("<!DOCTYPE html>"), "{template} {index}");
            assert!(html.trim_end().ends_with("</html>"), "{template} {index}");
            if let Some(folder) = std::env::var_os("PAGES_OUT") {
                let name = format!("{}-{index}.html", template.trim_end_matches(".html"));
                std::fs::write(Path::new(&folder).join(name), html).unwrap();
            }
        }
    }
}
