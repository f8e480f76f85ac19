use crate::content::part::part;
use crate::content::{Check, Draft, Drafts, Private};

/// A list to choose from: 1 to 10 sections with at most 10 rows in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListMenu {
    button: Private,
    sections: Vec<ListSection>,
}

/// A section of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListSection {
    title: Option<Private>,
    rows: Vec<ListRow>,
}

/// A row of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRow {
    id: Private,
    title: Private,
    description: Option<Private>,
}

part!(struct ListMenu { button, sections });
part!(struct ListSection { title, rows });
part!(struct ListRow { id, title, description });

const MAX_BUTTON: usize = 20;
const MAX_SECTIONS: usize = 10;
const MAX_ROWS: usize = 10;
const MAX_SECTION_TITLE: usize = 24;
const MAX_ID: usize = 200;
const MAX_TITLE: usize = 24;
const MAX_DESCRIPTION: usize = 72;

// === impl ListMenu ===

impl ListMenu {
    /// A list by the label of the button that opens it (1 to 20 characters) and its sections.
    pub fn new(button: String, sections: Drafts<ListSection>, check: &mut Check) -> Draft<Self> {
        let button = check.text("button", button, MAX_BUTTON);
        check.count("sections", sections.count(), 1..=MAX_SECTIONS);
        check_titles(
            sections.iter().map(|(index, section)| (index, section.title.is_some())),
            sections.count(),
            check,
        );
        let rows: usize = sections.iter().map(|(_, section)| section.rows.len()).sum();
        if rows > MAX_ROWS {
            check.note("sections", format!("must have at most {MAX_ROWS} rows in all"));
        }
        check.different(sections.iter().flat_map(|(at, section)| {
            let rows = section.rows.iter().enumerate();
            rows.map(move |(index, row)| (format!("sections[{at}].rows[{index}].id"), row.id()))
        }));
        Draft(Some(Self {
            button,
            sections: sections.into_vec(),
        }))
    }

    /// Label of the button that opens it.
    pub fn button(&self) -> &str {
        &self.button
    }

    /// The sections.
    pub fn sections(&self) -> &[ListSection] {
        &self.sections
    }
}

// === impl ListSection ===

impl ListSection {
    /// A section by its title (at most 24 characters, required if it is not the only one) and its rows, at least one.
    pub fn new(title: String, rows: Drafts<ListRow>, check: &mut Check) -> Draft<Self> {
        let title = check.optional_text("title", title, MAX_SECTION_TITLE);
        check.count("rows", rows.count(), 1..=MAX_ROWS);
        Draft(Some(Self {
            title,
            rows: rows.into_vec(),
        }))
    }

    /// Its title.
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// The rows.
    pub fn rows(&self) -> &[ListRow] {
        &self.rows
    }
}

// === impl ListRow ===

impl ListRow {
    /// A row by what comes back with the answer (1 to 200 characters), its title (1 to 24) and its description (at most 72; empty: none).
    pub fn new(id: String, title: String, description: String, check: &mut Check) -> Draft<Self> {
        Draft(Some(Self {
            id: check.text("id", id, MAX_ID),
            title: check.text("title", title, MAX_TITLE),
            description: check.optional_text("description", description, MAX_DESCRIPTION),
        }))
    }

    /// Comes back with the answer.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The description.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }
}

/// Sections that are not alone need a title each.
pub(super) fn check_titles(titled: impl Iterator<Item = (usize, bool)>, count: usize, check: &mut Check) {
    for (index, _) in titled.filter(|(_, titled)| count > 1 && !titled) {
        check.note(
            &format!("sections[{index}].title"),
            "is required if there is more than one section",
        );
    }
}
