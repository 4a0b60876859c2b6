//! Who is connected now.
