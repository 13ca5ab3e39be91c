package main
import "context"
func list(ctx context.Context, b *bench) error { return nil }
func imports(ctx context.Context, b *bench) error { return nil }
func decisions(ctx context.Context, b *bench) error { return nil }
