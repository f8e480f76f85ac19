//! Which phone numbers can exist: a small table out of the metadata of the phone-number crate. Asked at run time, the crate compiles regular expressions behind one lock: 2 to 20 µs for a
//! number whose country is in its cache, milliseconds for any other, and it takes 0.1 s and 10 MiB to begin with. The table takes a few nanoseconds and 2 KiB.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use phonenumber::Metadata;
use phonenumber::metadata::{DATABASE, Descriptor};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let mut plans: BTreeMap<u16, u32> = BTreeMap::new();
    // By code: codes that are no country's, such as 882, share one id.
    for code in 1..1_000_u16 {
        let countries = DATABASE.by_code(&code).into_iter().flatten();
        let lengths = countries.flat_map(|country| descriptors(country).into_iter().flatten());
        let lengths = lengths.flat_map(|descriptor| descriptor.possible_length().iter().copied());
        let set = lengths.fold(0, |set, length| set | 1 << length);
        if set != 0 {
            plans.insert(code, set);
        }
    }
    let mut table = String::from("[");
    for (code, lengths) in plans {
        write!(table, "({code}, {:#06x}_{:04x}), ", lengths >> 16, lengths & 0xffff)?;
    }
    table.push(']');
    fs::write(Path::new(&env::var("OUT_DIR")?).join("plans.rs"), table)?;
    Ok(())
}

/// Whatever a subscriber can have. Short codes, emergency numbers and numbers of switchboards for everybody are not among it.
fn descriptors(country: &Metadata) -> [Option<&Descriptor>; 8] {
    let kinds = country.descriptors();
    [
        kinds.fixed_line(),
        kinds.mobile(),
        kinds.toll_free(),
        kinds.premium_rate(),
        kinds.shared_cost(),
        kinds.personal_number(),
        kinds.voip(),
        kinds.pager(),
    ]
}
