// Package pagetest tries the pages of a room against their views, for the tests of
// whoever makes pages.
package pagetest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jba/templatecheck"

	"ciglio/portal/page"
)

// Views fails the test with what [Check] finds.
func Views(t *testing.T, pages *page.Pages, views map[string]any) {
	t.Helper()
	for _, fault := range Check(pages, views) {
		t.Error(fault)
	}
}

// Check returns in what the pages of a room do not fit their views, by the names of the
// pages: a field or method that a template names and that is not there, a page without a
// view, a view that brings a template a map or a type of another room of the centre, such
// as a record or a row.
func Check(pages *page.Pages, views map[string]any) (faults []error) {
	for _, name := range pages.Names() {
		view, ok := views[name]
		if !ok {
			faults = append(faults, fmt.Errorf("page %s has no view", name))
			continue
		}
		if err := templatecheck.CheckHTML(pages.Template(name), view); err != nil {
			faults = append(faults, fmt.Errorf("page %s: %w", name, err))
		}
		home := reflect.TypeOf(view).PkgPath()
		for _, fault := range foreign(reflect.TypeOf(view), home, nil) {
			faults = append(faults, fmt.Errorf("page %s: %s", name, fault))
		}
	}
	for name := range views {
		if !slices.Contains(pages.Names(), name) {
			faults = append(faults, fmt.Errorf("view %s has no page", name))
		}
	}
	return faults
}

// foreign names the types in a view that are not for templates.
func foreign(v reflect.Type, home string, seen []reflect.Type) (faults []string) {
	if slices.Contains(seen, v) {
		return nil
	}
	seen = append(seen, v)
	path := v.PkgPath()
	if strings.HasPrefix(path, "ciglio/") && path != home && path != "ciglio/portal/page" {
		return []string{v.String() + " reaches a template"}
	}
	switch v.Kind() {
	case reflect.Map, reflect.Interface, reflect.Func, reflect.Chan:
		return []string{v.String() + " reaches a template"}
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return foreign(v.Elem(), home, seen)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); (f.IsExported() || f.Anonymous) && path == home {
				faults = append(faults, foreign(f.Type, home, seen)...)
			}
		}
	}
	return faults
}
