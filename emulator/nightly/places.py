"""Names in the folder of a deployment, or below its URL."""

ARCHIVE = "sink.icechunk"
"""Every night, one transaction each."""

MIRROR = "sink.zarr"
NETCDF = "sink.nc"
"""The newest night as plain files; links."""

EXPORTS = "exports"
"""Folder of the newest nights' exports, one folder each, which never change."""

CURRENT = "current"
"""Link to the newest export."""

LATEST = "latest.json"
"""Says on an object store, where there are no links, which export is the newest."""
