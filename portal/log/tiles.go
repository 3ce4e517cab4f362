package log

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// ServeHTTP serves the published log as https://c2sp.org/tlog-tiles has it: the paths are
// checkpoint, tile/LEVEL/INDEX and tile/entries/INDEX, with .p/WIDTH behind a tile that is
// not full. An entry is a record id, 32 bytes. Tiles never change.
func (p *Publisher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	signed, tree := p.Checkpoint()
	path := r.URL.Path
	if len(path) > 0 {
		path = path[1:]
	}
	if path == "checkpoint" && signed != nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
		w.Write(signed)
		return
	}
	tile, err := torchwood.ParseTilePath(path)
	if err != nil || !within(tile, tree.N) {
		http.Error(w, "not in the published log", http.StatusNotFound)
		return
	}
	data, err := p.turn(r.Context(), tile)
	if r.Context().Err() != nil {
		return // the reader has gone
	}
	if err != nil {
		p.o.Log.Error("a tile of the log cannot be read", "tile", path, "error", err)
		http.Error(w, "cannot be read at the moment", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(data)
}

// within reports whether a tile lies in a tree of n entries.
func within(t tlog.Tile, n int64) bool {
	level := max(t.L, 0) * torchwood.TileHeight
	if level >= 63 || t.N < 0 || t.W < 1 || t.W > torchwood.TileWidth {
		return false
	}
	have := n >> level // hashes at that level
	return t.N < have>>torchwood.TileHeight+1 && t.N<<torchwood.TileHeight+int64(t.W) <= have
}

// maxTiles is how many are read at once: whoever may read the log asks the source that
// takes evidence.
const maxTiles = 4

// turn waits for its turn to read a tile.
func (p *Publisher) turn(ctx context.Context, t tlog.Tile) ([]byte, error) {
	select {
	case p.tiles <- struct{}{}:
		defer func() { <-p.tiles }()
		return p.tile(ctx, t)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *Publisher) tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	if t.L >= 0 {
		return tlog.ReadTileData(t, p.o.Source.Hashes(ctx))
	}
	from := uint64(t.N) << torchwood.TileHeight
	ids, err := p.o.Source.LogEntries(ctx, from, from+uint64(t.W))
	if err != nil {
		return nil, err
	}
	if len(ids) != t.W {
		return nil, fmt.Errorf("%d entries from %d on, want %d", len(ids), from, t.W)
	}
	var data []byte
	for _, id := range ids {
		if data, err = torchwood.AppendTileEntry(data, id[:]); err != nil {
			return nil, err
		}
	}
	return data, nil
}
