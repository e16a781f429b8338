#!/bin/bash
#PBS -N m7f3a
#PBS -J 0-2
#PBS -S /bin/bash
#PBS -j oe
#PBS -o /home/ada/m7f3a/log.^array_index^
#PBS -q long
#PBS -A physics
#PBS -P waves
#PBS -l select=2:ncpus=4:mem=2048mb:ngpus=1
#PBS -l place=scatter
#PBS -l walltime=26:30:01
#PBS -m e
#PBS -l place=excl
exit 0
