"""Own files: a visitor's checkpoint, image or matrices, inspected before anything is loaded, then available on every page."""

import streamlit as st

from pages.shared.own_files import (
    checkpoint as uploaded_checkpoint,
    image as uploaded_image,
    matrix as uploaded_matrix,
    training,
)
from pages.shared.shell import navigation
from pages.shared.state import controls
from pages.shared.widgets import panels
from stiffcore.errors import CannotCompute
from stiffcore.storage import uploads

style = navigation.page("Own files")
st.title("Own files")
st.caption(
    "Upload a network or images and use them on every page, or matrices and see their spectra. Files stay on the machine that runs "
    "this app; everybody who uses the app can choose them. Nothing in them is executed."
)
try:
    uploads.check_uploads()
except CannotCompute as error:
    st.info(str(error), icon=":material/block:")
    controls.notes()
    st.stop()

notes = st.container()
network, image = panels.responsive_columns([1, 1])
with network, panels.error_boundary():
    st.subheader("A network")
    uploaded_checkpoint.upload()
    uploaded_checkpoint.show_uploaded()
    training.offer()
with image, panels.error_boundary():
    st.subheader("Images")
    uploaded_image.upload()
    uploaded_image.show_uploaded()
with network, panels.error_boundary():
    st.subheader("Matrices")
    uploaded_matrix.upload()
    uploaded_matrix.show_uploaded()
with notes:  # also if a file is refused or missing
    controls.notes()
