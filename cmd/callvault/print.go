package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// printJSON prints a value as JSON.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// printIndented prints a value as JSON inside a larger one, as printJSON would: every
// line but the first begins with prefix.
func printIndented(w io.Writer, value any, prefix string) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent(prefix, "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := w.Write(bytes.TrimRight(text.Bytes(), "\n"))
	return err
}

// printTable prints rows under a header, in columns. Text from outside can neither break
// the table nor control the terminal.
func printTable(w io.Writer, header []string, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(header, "\t"))
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(table, "\t")
			}
			fmt.Fprint(table, strings.Map(printable, cell))
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

// printable returns c, or a space in place of a control character.
func printable(c rune) rune {
	if unicode.IsControl(c) {
		return ' '
	}
	return c
}

// shownName returns a file's name, quoted if it could control the terminal.
func shownName(name string) string {
	if strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name) {
		return strconv.Quote(name)
	}
	return name
}

// printFault prints a fault of a recording; or of a file that belongs to no recording, whose
// path is then the key, and tenant is empty.
func printFault(out io.Writer, tenant, key, fault string) {
	fmt.Fprintf(out, "%s: %s\n", strings.TrimSpace(tenant+" "+shownName(key)), forPeople(errors.New(fault)))
}

// byteCount formats a number of bytes for people.
func byteCount(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefix := float64(n)/unit, 0
	for value >= unit && prefix < 5 {
		value, prefix = value/unit, prefix+1
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGTPE"[prefix])
}

// moment formats Unix milliseconds for people, in UTC; 0, which means never, is a dash.
func moment(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05Z")
}
