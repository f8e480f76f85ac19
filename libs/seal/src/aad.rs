use uuid::Uuid;

/// What a blob is bound to: the place it was sealed for. It opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Aad<'a> {
    application: Option<Uuid>,
    table: &'static str,
    column: &'static str,
    id: &'a [u8],
}

// === impl Aad ===

impl<'a> Aad<'a> {
    /// The cell `column` of row `id` in `table`, of `application` where the row belongs to one.
    pub const fn new(application: Option<Uuid>, table: &'static str, column: &'static str, id: &'a [u8]) -> Self {
        Self {
            application,
            table,
            column,
            id,
        }
    }

    /// The associated data of a blob with this `header`. Each part has its length before it, so no two places share an encoding.
    pub(crate) fn encode(&self, header: &[u8]) -> Vec<u8> {
        let application = self.application.as_ref().map_or(&[][..], |id| id.as_bytes());
        let parts = [
            header,
            application,
            self.table.as_bytes(),
            self.column.as_bytes(),
            self.id,
        ];
        let mut out = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
        for part in parts {
            out.extend_from_slice(&(part.len() as u32).to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }
}
