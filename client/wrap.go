package client

import (
	"encoding/json"
	"fmt"
)

// wrapper is what is known about the object around a list while it is read.
type wrapper struct {
	arrays  int
	total   int64  // how many items it says there are; 0 if it does not
	partial string // the field that says that there are more; "" for none
	message string // its message or error field
}

// object reads the object that begins here: one that wraps exactly one array, or
// the first of several bare objects. Those are recognized by a field that only items
// have, and are then read again from the beginning.
func (l *list) object() error {
	l.scan.mark()
	l.scan.pos++
	var w wrapper
	if c, err := l.scan.next(); err != nil {
		return err
	} else if c == '}' {
		l.scan.pos++
		return l.endWrapper(&w)
	}
	for {
		name, err := l.name()
		if err != nil {
			return err
		}
		if itemKey(name) {
			if !l.scan.rewind() {
				return notList("it is one object with the fields of an item, not a list")
			}
			return l.lines()
		}
		if err := l.wrapperField(&w, name); err != nil {
			return err
		}
		switch c, err := l.scan.next(); {
		case err != nil:
			return err
		case c == '}':
			l.scan.pos++
			return l.endWrapper(&w)
		case c != ',':
			return unexpectedByte(l.scan.offset(), c, "a comma or the end of the object")
		}
		l.scan.pos++
	}
}

func itemKey(name string) bool {
	return name == "recordingKey" || name == "callKey" || name == "callId"
}

// name reads a field's name and the colon.
func (l *list) name() (string, error) {
	if c, err := l.scan.next(); err != nil {
		return "", err
	} else if c != '"' {
		return "", unexpectedByte(l.scan.offset(), c, "the name of a field")
	}
	p, err := l.scan.readValue()
	if err != nil {
		return "", err
	}
	name, _ := unquote(p.raw)
	return name, l.scan.expect(':', "a colon")
}

// wrapperField reads the value of the wrapper's field: the list, or a field beside it.
func (l *list) wrapperField(w *wrapper, name string) error {
	c, err := l.scan.next()
	if err != nil {
		return err
	}
	if c == '[' {
		l.scan.unmark()
		if w.arrays++; w.arrays > 1 {
			return notList(fmt.Sprintf("it is an object with more than one array, the second in %q; it is not clear which is the list", shorten(name, 60)))
		}
		return l.array()
	}
	p, err := l.scan.readValue()
	if err != nil {
		return err
	}
	if !p.complete() {
		return nil
	}
	if !json.Valid(p.raw) {
		return fmt.Errorf("the field %q beside the list is not JSON: %s", shorten(name, 60), excerpt(p.raw))
	}
	w.note(name, p.raw)
	return nil
}

// note remembers what a field beside the list says about it: a server that pages
// answers with status 200 and a part, which must not pass for the whole list.
func (w *wrapper) note(name string, value []byte) {
	switch name {
	case "total", "totalCount", "totalElements", "totalItems", "totalRecords", "totalRecordings", "totalCalls":
		if n, err := readInteger(value); err == nil && n > w.total {
			w.total = n
		}
	case "hasMore", "hasNext":
		if string(value) == "true" {
			w.partial = name
		}
	case "message", "error":
		if text, ok := unquote(value); ok && w.message == "" {
			w.message = oneLine(text)
		}
	}
}

// endWrapper decides whether an object that was read to its end held a whole list.
func (l *list) endWrapper(w *wrapper) error {
	if err := l.end(); err != nil {
		return err
	}
	switch {
	case w.arrays == 0 && w.message != "":
		return notList(fmt.Sprintf("it is an object without a list, which says %q", w.message))
	case w.arrays == 0:
		return notList("it is an object that wraps no array")
	case w.total > l.index:
		return fmt.Errorf("it says that there are %d, and %d came: it is only a part", w.total, l.index)
	case w.partial != "":
		return fmt.Errorf("its field %s says that there are more: it is only a part", w.partial)
	}
	return nil
}
