//! Columns inside columns: lists, structs, maps and unions as JSON.

use std::ops::Range;

use arrow::{
    array::{Array, ArrayRef, AsArray, OffsetSizeTrait},
    datatypes::DataType,
    error::ArrowError,
};

use super::cell::{BoxCell, Cell, Column, plain};

/// Rows of the inner column that belong to a row of the outer.
pub(crate) fn between<O: OffsetSizeTrait>(offsets: &[O], row: usize) -> Range<usize> {
    offsets[row].as_usize()..offsets[row + 1].as_usize()
}

struct List<'a, F> {
    values: Column<'a>,
    range: F,
}

impl<F: Fn(usize) -> Range<usize>> Cell for List<'_, F> {
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'[');
        for (i, row) in (self.range)(row).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            self.values.json(row, out);
        }
        out.push(b']');
    }
}

/// A list of either width; `range` tells its rows.
pub(crate) fn list<'a>(
    array: &'a ArrayRef,
    range: impl Fn(usize) -> Range<usize> + 'a,
) -> Result<BoxCell<'a>, ArrowError> {
    let values = match array.data_type() {
        DataType::LargeList(_) => array.as_list::<i64>().values(),
        _ => array.as_list::<i32>().values(),
    };
    Ok(Box::new(List { values: Column::of(values)?, range }))
}

/// A list of a fixed width.
pub(crate) fn fixed(array: &ArrayRef) -> Result<BoxCell<'_>, ArrowError> {
    let array = array.as_fixed_size_list();
    let range = move |row| {
        let first = usize::try_from(array.value_offset(row)).unwrap_or(0);
        first..first + usize::try_from(array.value_length()).unwrap_or(0)
    };
    Ok(Box::new(List { values: Column::of(array.values())?, range }))
}

struct Object<'a> {
    /// Names with quotes and colon, and their columns.
    fields: Vec<(Vec<u8>, Column<'a>)>,
}

impl Cell for Object<'_> {
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        object_of(&self.fields, row, out);
    }
}

/// `"name":` as JSON.
pub(crate) fn label(name: &str) -> Vec<u8> {
    let mut label = Vec::with_capacity(name.len() + 3);
    plain(name, &mut label);
    label.push(b':');
    label
}

/// `{"name":cell,…}` of a row.
pub(crate) fn object_of(fields: &[(Vec<u8>, Column<'_>)], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, (label, column)) in fields.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(label);
        column.json(row, out);
    }
    out.push(b'}');
}

/// A struct.
pub(crate) fn object(array: &ArrayRef) -> Result<BoxCell<'_>, ArrowError> {
    let array = array.as_struct();
    let fields = array.fields().iter().zip(array.columns());
    let fields =
        fields.map(|(field, column)| Ok((label(field.name()), Column::of(column)?))).collect::<Result<_, ArrowError>>();
    Ok(Box::new(Object { fields: fields? }))
}

struct Map<'a> {
    keys: Column<'a>,
    values: Column<'a>,
    offsets: &'a [i32],
    /// Whether the keys are text, so that the map is an object.
    named: bool,
}

impl Cell for Map<'_> {
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        out.push(if self.named { b'{' } else { b'[' });
        for (i, entry) in between(self.offsets, row).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            if !self.named {
                out.extend_from_slice(b"{\"key\":");
            }
            self.keys.json(entry, out);
            out.extend_from_slice(if self.named { b":" } else { b",\"value\":" });
            self.values.json(entry, out);
            if !self.named {
                out.push(b'}');
            }
        }
        out.push(if self.named { b'}' } else { b']' });
    }
}

/// A map.
pub(crate) fn map(array: &ArrayRef) -> Result<BoxCell<'_>, ArrowError> {
    let array = array.as_map();
    let named = matches!(array.keys().data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let (keys, values) = (Column::of(array.keys())?, Column::of(array.values())?);
    Ok(Box::new(Map { keys, values, offsets: array.value_offsets(), named }))
}

struct Union<'a, F> {
    /// By type id.
    children: Vec<Option<Column<'a>>>,
    place: F,
}

impl<F: Fn(usize) -> (usize, usize)> Cell for Union<'_, F> {
    fn json(&self, row: usize, out: &mut Vec<u8>) {
        let (child, row) = (self.place)(row);
        match self.children.get(child).and_then(Option::as_ref) {
            Some(column) => column.json(row, out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn text(&self, row: usize, out: &mut Vec<u8>) {
        let (child, row) = (self.place)(row);
        if let Some(column) = self.children.get(child).and_then(Option::as_ref) {
            column.text(row, out);
        }
    }
}

/// A union: the value that is set.
pub(crate) fn union(array: &ArrayRef) -> Result<BoxCell<'_>, ArrowError> {
    let array = array.as_union();
    let DataType::Union(fields, _) = array.data_type() else {
        return Err(ArrowError::InvalidArgumentError("a union without fields".to_owned()));
    };
    let mut children = Vec::new();
    for (id, _) in fields.iter() {
        let at = usize::try_from(id).unwrap_or(0);
        children.resize_with(children.len().max(at + 1), || None);
        children[at] = Some(Column::of(array.child(id))?);
    }
    let place = move |row| (usize::try_from(array.type_id(row)).unwrap_or(usize::MAX), array.value_offset(row));
    Ok(Box::new(Union { children, place }))
}
